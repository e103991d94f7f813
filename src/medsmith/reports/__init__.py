"""Structured lesion reports: schema, rules, vocabulary, parsing and writing."""
