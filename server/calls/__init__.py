"""The life of a call: each verb from question to answer, whichever way the question came."""
