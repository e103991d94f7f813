from medsmith.formats.markdown import number, source, table


def test_a_table_has_a_head_a_rule_and_its_rows():
    assert table(("a", "b"), [("1", "2"), ("3", "4")]) == "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |"
    assert number(0.123456) == "0.123"


def test_a_source_names_command_machine_date_and_versions():
    facts = {"command": "python a.py", "machine": "a processor", "date": "2026-11-29", "versions": "torch 2"}
    assert source(facts) == "`python a.py`; a processor, 2026-11-29, torch 2."
