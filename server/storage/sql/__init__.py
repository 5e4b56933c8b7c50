"""SQL: connections, transactions, migrations, the audit trail."""
