"""The mutants that `make mutants` makes of a module."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.mutations import mutants_of
from tests.mutants.sight import SIGHT

ROOT = Path(__file__).parents[2]
FUNCTION = "def f(a, b):\n    {}\n"


def made_of(tmp_path: Path, text: str) -> set[str]:
    (tmp_path / "module.py").write_text(text)
    return {f"{m.before} -> {m.after}" for m in mutants_of(tmp_path, "module.py")}


@pytest.mark.parametrize(
    ("body", "changes"),
    [
        ("return a < b", {" <  ->  <= ", "a < b -> None"}),
        ("a.b = b", {"a.b = b -> pass"}),
        ("f(a)", {"f(a) -> pass"}),
        ("return not a", {"not  -> ", "not a -> None"}),
        ("raise a", {"raise a -> pass"}),
        ("a.b = 3 if a else 0.5", {"3 -> 4", "0.5 -> 1.0", "a -> True", "a -> False"}),
        ("return a and b", {" and  ->  or "}),
        ("a.b = True", {"True -> False"}),
    ],
)
def test_a_statement_has_these_mutants(
    tmp_path: Path, body: str, changes: set[str]
) -> None:
    assert changes <= made_of(tmp_path, FUNCTION.format(body))


def test_each_mutant_is_a_program_and_another_one(tmp_path: Path) -> None:
    source = (ROOT / "pooled_db/pool/on_call.py").read_text()
    module = tmp_path / "module.py"
    module.write_text(source)
    mutants = mutants_of(tmp_path, "module.py")
    assert len(mutants) > 30
    for mutant in mutants:
        module.write_text(source)
        mutant.apply(tmp_path)
        ast.parse(module.read_text())
        assert module.read_text() != source


def test_what_is_mutated_and_what_sees_it_exist() -> None:
    for module, tests in SIGHT.items():
        assert (ROOT / "pooled_db" / module).is_file()
        assert all((ROOT / "tests" / test).is_file() for test in tests)
