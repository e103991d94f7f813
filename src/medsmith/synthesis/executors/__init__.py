"""Executors run case tasks: the protocol, and its implementation by worker processes on this machine."""
