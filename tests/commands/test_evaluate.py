"""The output of `vaelab evaluate`."""

import math

from vaelab.commands.report_text import comparability, format_reports, objective_settings

REPORT = {
    "split": "test",
    "examples": 53,
    "samples": 500,
    "precision": "float32",
    "nll": 2.8214,
    "nll_stderr": 0.0151,
    "nll_change": 0.01,
    "entropy": 2.7918,
    "active_units": 2,
    "latent_dim": 3,
    "mutual_information_low": 3.7,
    "mutual_information_low_stderr": 0.0242,
    "mutual_information_high": 3.9412,
    "mutual_information_high_stderr": 0.03,
    "aggregate_kl_low": 0.0,
    "aggregate_kl_high": 0.2,
    "aggregated_examples": 53,
    "measure": "density",
    "per": "row",
    "data": "Rows",
    "binarisation": "none",
    "dequantisation": "none",
    "beta": 1.0,
    "min_std": 0.01,
    "seed": 0,
    "checksum": "1a2b",
}


def rows(*reports):
    printed = format_reports([f"run{index}" for index in range(len(reports))], reports)
    table = printed.split("\n\n")[0].splitlines()
    return {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in table[1:]}, printed


def test_both_bounds_of_a_quantity_share_a_line_that_is_labelled():
    table, printed = rows(REPORT)
    assert table["mutual_information"] == "3.700 ± 0.024 to 3.941 ± 0.030"
    assert table["aggregate_kl"] == "0.000 to 0.200"
    assert not [name for name in table if name.endswith(("_low", "_high"))]
    assert "mutual_information and aggregate_kl lie between two bounds" in printed
    assert "depend on the number of examples" in printed


def test_numbers_say_what_they_are_and_what_their_errors_hold():
    table, printed = rows(REPORT)
    assert list(table) == [
        *("examples", "samples", "nll", "entropy", "active_units"),
        *("mutual_information", "aggregate_kl"),
    ]
    assert (table["nll"], table["entropy"], table["active_units"]) == ("2.821 ± 0.015", "2.792", "2 of 3")
    for said in ("one standard error over the examples", "another training seed", "lower bounds on log p", "medians"):
        assert said in printed
    assert comparability(REPORT).endswith("trained with beta 1, sigma floor 0.01; scored in float32, sums in float64")


def test_the_objective_is_shown_with_its_settings():
    settings = {"alpha": 0.5, "samples": 5, "gradient": "pathwise", "kl": "monte_carlo"}
    given = objective_settings(settings | {"_target_": "mine.VRAlpha"})
    told = comparability(REPORT | {"objective": "VRAlpha", "objective_settings": given, "beta": None})
    assert "trained with VRAlpha(alpha=0.5, samples=5), sigma floor 0.01;" in told
    told = comparability(REPORT | {"objective": "ELBO", "objective_settings": "beta=1, samples=1"})
    assert "trained with ELBO(beta=1, samples=1), sigma floor 0.01;" in told
    assert "trained with ELBO, beta 1, sigma floor 0.01;" in comparability(REPORT | {"objective": "ELBO"})
    hostile = comparability(REPORT | {"objective": "A", "objective_settings": "b=" + "c" * 1_000})
    assert len(hostile) < 500


def test_reports_of_older_runs_are_printed_beside_new_ones():
    new = ("precision", "checksum", *(key for key in REPORT if key.endswith(("_low", "_high", "w_stderr", "h_stderr"))))
    old = {key: value for key, value in REPORT.items() if key not in new} | {"mutual_information": 3.75}
    table, printed = rows(old, REPORT)
    assert table["mutual_information"].split()[:2] == ["3.750", "3.700"]
    assert table["aggregate_kl"].split() == ["-", "0.000", "to", "0.200"]
    assert "CANNOT" not in printed


def test_other_examples_are_named():
    _, printed = rows(REPORT, REPORT | {"checksum": "ffff"})
    assert "because they differ in the examples of the split, by their checksum: 1a2b | ffff." in printed


def test_what_comes_from_a_run_cannot_control_the_terminal():
    hostile = REPORT | {"data": "a\x1b[2Jb\nc", "binarisation": "\u202e", "min_std": "x\r", "beta": "\x07"}
    printed = format_reports(["na\x1b]0;me"], [hostile])
    assert not [
        character for character in printed if (ord(character) < 32 and character != "\n") or character == "\u202e"
    ]
    assert "a\\x1b[2Jb\\nc" in printed
    assert len(printed.splitlines()) == len(format_reports(["name"], [REPORT]).splitlines())


def test_a_number_without_an_error_has_none():
    table, _ = rows({**REPORT, "iw_1": -math.pi})
    assert table["iw_1"] == "-3.142"
