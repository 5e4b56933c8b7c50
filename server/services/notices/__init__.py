"""NoticeService: what tenants were told."""
