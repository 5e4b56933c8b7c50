"""Wire to domain and back: what a question may hold, and what an answer looks like."""
