"""The client: questions with retries, calls that are looked after, a bridge's stream, a watcher."""
