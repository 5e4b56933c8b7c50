"""Mails and webhooks: what tenants are told of their money and minutes."""
