"""Notices: what tenants are told of their money and minutes. See docs/notices.md."""
