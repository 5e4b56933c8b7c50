"""Version 1 of the contract: messages and stubs made from proto/callgate/v1."""
