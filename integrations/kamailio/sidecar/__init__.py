"""The sidecar of a SIP proxy: puts its calls to callgate, and tells it when they have to end."""
