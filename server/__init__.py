"""The process around the rules: it translates, reserves, answers and keeps."""
