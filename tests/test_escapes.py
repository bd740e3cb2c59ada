import pytest

from vaelab.escapes import for_csv, for_markdown, for_terminal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain µ σ² é 漢字", "plain µ σ² é 漢字"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("two\nlines\r", r"two\nlines\r"),
        ("right\u202eto left", r"right\u202eto left"),
        ("a lone surrogate \ud800", r"a lone surrogate \ud800"),
        ("C1 \x9b31m", r"C1 \x9b31m"),
        (3.5, "3.5"),
    ],
)
def test_terminals_see_no_control_character(text, shown):
    assert for_terminal(text) == shown
    assert for_terminal(for_terminal(text)) == shown


@pytest.mark.parametrize("formula", ["=1+1", "+1+cmd|'/C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "  =1", "-inf"])
def test_a_spreadsheet_sees_text_where_a_formula_would_start(formula):
    assert for_csv(formula).startswith("'")


@pytest.mark.parametrize("number", ["-0.5", "+3", "-1e-9", "12", "", "name", -4.25])
def test_numbers_and_names_stay_as_they_are_in_a_csv(number):
    assert for_csv(number) == str(number)


def test_markdown_sees_no_table_mark_link_or_html():
    assert for_markdown("a|b") == r"a\|b"
    assert for_markdown("<img src=x onerror=alert(1)>") == "&lt;img src=x onerror=alert(1)&gt;"
    assert for_markdown("[x](javascript:y)") == r"\[x\](javascript:y)"
    assert for_markdown("line\nbreak") == r"line\\nbreak"
