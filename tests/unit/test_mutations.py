"""The mutants that `make mutants` makes of a module."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mutants import __main__ as command
from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.exchange import Loaded
from tests.mutants.mutations import Mutant, modules_of, mutants_of
from tests.mutants.parts import IN_PROCESS, readers_of, sites_of
from tests.mutants.reach import Reach

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
        ("return not (a or b)", {"not  -> ", " or  ->  and "}),
        ("raise a", {"raise a -> pass"}),
        ("a.b = 3 if a else 0.5", {"3 -> 4", "0.5 -> 1.0", "a -> True", "a -> False"}),
        ("return a and b", {" and  ->  or ", "a -> True", "b -> True"}),
        ("return a or (b and a)", {"a -> False", "b and a -> False", "b -> True"}),
        ("return min(a, all(b))", {"min -> max", "all -> any"}),
        ("for c in a:\n        f(c)", {"a -> ()"}),
        ("if a:\n        return\n    f(b)", {"return -> pass"}),
        ("del a.b", {"del a.b -> pass"}),
        ("a.b = True", {"True -> False"}),
        ("f(a, key=b)", {", key=b -> "}),
        ("f(key=a, other=b)", {"key=a,  -> ", ", other=b -> "}),
        ("f(key=a)", {"key=a -> "}),
        ("return a in {1, 2}", {"1,  -> ", ", 2 -> "}),
        ("f((A, a.B))", {"A,  -> ", ", a.B -> "}),
        ("try:\n        f(a)\n    except A:\n        f(b)", {"A -> ()"}),
        (
            "try:\n        f(a)\n    except BaseException:\n        f(b)",
            {"BaseException -> ()", "BaseException -> Exception"},
        ),
    ],
)
def test_a_statement_has_these_mutants(
    tmp_path: Path, body: str, changes: set[str]
) -> None:
    assert changes <= made_of(tmp_path, FUNCTION.format(body))


def test_a_record_loses_nothing(tmp_path: Path) -> None:
    bodies = ("return a, b", "f(*a, **b)", "__slots__ = 'a', 'b'")
    changes = made_of(tmp_path, "".join(FUNCTION.format(body) for body in bodies))
    assert not [one for one in changes if one.endswith("-> ")]


@pytest.mark.parametrize(
    "name", ["pool/on_call.py", "driver/guarded.py", "driver/errors.py"]
)
def test_each_mutant_is_a_program_and_another_one(tmp_path: Path, name: str) -> None:
    source = (ROOT / "pooled_db" / name).read_text()
    module = tmp_path / "module.py"
    module.write_text(source)
    mutants = mutants_of(tmp_path, "module.py")
    assert len(mutants) > 30
    for mutant in mutants:
        module.write_text(source)
        mutant.apply(tmp_path)
        ast.parse(module.read_text())
        assert module.read_text() != source


def test_what_sees_a_module_exists() -> None:
    modules = list(modules_of(ROOT))
    assert "pooled_db/pool/gate.py" in modules
    named = {*IN_PROCESS, *(test for one in modules for test in sites_of(one))}
    assert all((ROOT / test).is_file() for test in named)


@pytest.mark.parametrize("module", ["pool/shedding.py", "driver/packets.py"])
def test_a_constant_meets_the_test_that_compares_it_with_the_documents(
    module: str,
) -> None:
    readers = readers_of(f"pooled_db/{module}")
    assert "tests/unit/test_documented_numbers.py" in readers
    assert "tests/unit/test_share.py" not in readers


def test_each_that_is_equivalent_is_a_mutant() -> None:
    modules = {key.partition(" ")[0] for key in EQUIVALENT}
    keys = {mutant.key for one in modules for mutant in mutants_of(ROOT, one)}
    assert keys >= EQUIVALENT.keys()


MODULE = """\
LIMIT = 3

def allows(number):
    if (
        number
        < LIMIT
    ):
        return True
    return False

class Pool:
    size: int = 5

    def grow(self):
        for _ in range(2):
            self.size += 1
"""


@pytest.mark.parametrize(
    ("line", "reached_by"),
    [(1, {"a", "b"}), (6, {"a", "b"}), (8, {"a"}), (12, {"c"}), (16, {"c"})],
)
def test_a_mutant_meets_the_tests_that_reach_it(
    tmp_path: Path, line: int, reached_by: set[str]
) -> None:
    (tmp_path / "module.py").write_text(MODULE)
    reached = {4: {"a", "b"}, 8: {"a"}, 9: {"b"}, 15: {"c"}, 16: {"c"}}
    lines = {number: frozenset(tests) for number, tests in reached.items()}
    reach = Reach({"module.py": lines}, {"a": 0.2, "b": 0.1, "c": 9.0}, {"a": 2})
    mutant = Mutant("module.py", line, "", 0, 1, "", "")

    found = reach.tests_of(mutant, tmp_path, most=5.0)
    assert found == sorted(found, reverse=True)  # what reaches little is about it
    assert set(found) == {test for test in reached_by if test != "c"}
    assert set(reach.tests_of(mutant, tmp_path, most=99.0)) >= reached_by


def test_the_code_of_a_function_is_exchanged_and_of_nothing_else(
    tmp_path: Path,
) -> None:
    (tmp_path / "module.py").write_text(MODULE)
    module: dict[str, Any] = {}
    code = compile(MODULE, str(tmp_path / "module.py"), "exec", dont_inherit=True)
    exec(code, module)
    assert not module["allows"](3)
    loaded = Loaded(tmp_path)
    changed = {
        mutant.key: loaded.put_in(mutant)
        for mutant in mutants_of(tmp_path, "module.py")
        if mutant.within in ("allows", "<module>") and mutant.after in (" <= ", "4")
    }

    assert changed == {
        "module.py allows: < -> <=": 1,
        "module.py <module>: 3 -> 4": 0,
    }
    assert module["allows"](3)


# In a copy of the checkout.


@pytest.mark.parametrize(
    ("without", "is_noticed"),
    [
        (None, True),
        # Its name has the number in it that was changed.
        ("not found: /copy/tests/test_a.py::test_it[3 s]", True),
        ("tests/test_a.py::test_it[3 s]", False),
    ],
)
def test_a_test_that_fails_with_a_mutant_alone_has_noticed_it(
    monkeypatch: pytest.MonkeyPatch, without: str | None, is_noticed: bool
) -> None:
    failing = "tests/test_a.py::test_it[3 s]"
    is_in = [False]
    mutant: Any = None

    @contextlib.contextmanager
    def applied(mutant: Mutant, copy: Path) -> Iterator[None]:
        is_in[0] = True
        yield
        is_in[0] = False

    def first_failure(copy: Path, part: str, tests: list[str]) -> str | None:
        for test in tests:
            if test.startswith("tests/test_a.py::test_gone"):
                return "not found: /copy/tests/test_a.py::test_gone"
        if f"--deselect={failing}" in tests:
            return None
        return failing if is_in[0] else without

    monkeypatch.setattr(command, "_applied", applied)
    monkeypatch.setattr(command, "_first_failure", first_failure)
    gone = [f"tests/test_a.py::test_gone[{number}]" for number in range(2)]
    tests = ["tests/test_a.py", *gone]
    by = command._noticed_by(mutant, Path("/copy"), "code", tests)
    assert by == (failing if is_noticed else None)
