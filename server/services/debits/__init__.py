"""DebitService: debits streamed back."""
