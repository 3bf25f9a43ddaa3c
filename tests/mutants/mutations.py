"""The small mistakes that can be made in a module."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

COMPARED: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
CALCULATED: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
}
#: Functions of the same arguments.
TWINS = {"min": "max", "max": "min", "any": "all", "all": "any"}
#: An option of zip() that only asserts what is so.
ASSERTS = "strict"
#: What a type checker reads, and nobody executes.
TYPING = ("TYPE_CHECKING", "Protocol", "TypeVar")


@dataclass(frozen=True)
class Mutant:
    """*module* with the text from *start* to *end* replaced."""

    module: str
    line: int
    within: str
    start: int
    end: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.within}: {self._change}"

    @property
    def key(self) -> str:
        """What stays the same when lines are added elsewhere."""
        return f"{self.module} {self.within}: {self._change}"

    @property
    def _change(self) -> str:
        return " ".join(f"{self.before} -> {self.after or 'nothing'}".split())

    def apply(self, root: Path) -> None:
        path = root / self.module
        text = path.read_bytes()
        after = self.after.encode()
        path.write_bytes(text[: self.start] + after + text[self.end :])
        os.utime(path, (0, 0))  # what was compiled of it must not pass for it


def mutants_of(root: Path, module: str) -> list[Mutant]:
    """All mutants of *module*, a path below *root*, in the order of its lines."""
    text = (root / module).read_bytes()
    found = _Finder(module, text)
    found.visit(ast.parse(text))
    return sorted(set(found.mutants), key=lambda one: (one.start, one.end, one.after))


class _Finder(ast.NodeVisitor):
    def __init__(self, module: str, text: bytes) -> None:
        self.mutants: list[Mutant] = []
        self._module = module
        self._text = text
        self._names: list[str] = []
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    # Where something stands.

    def _start(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        return self._starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._starts[node.end_lineno - 1] + node.end_col_offset

    def _replace(self, start: int, end: int, after: str, line: int) -> None:
        before = self._text[start:end].decode()
        within = ".".join(self._names) or "<module>"
        self.mutants.append(
            Mutant(self._module, line, within, start, end, before, after)
        )

    def _replace_node(self, node: ast.expr | ast.stmt, after: str) -> None:
        self._replace(self._start(node), self._end(node), after, node.lineno)

    # What is visited.

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_named(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_named(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if not any(_names(base) & set(TYPING) for base in node.bases):
            self._visit_named(node)

    def _visit_named(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ) -> None:
        self._names.append(node.name)
        if not isinstance(node, ast.ClassDef):
            for default in [*node.args.defaults, *node.args.kw_defaults]:
                if default is not None:
                    self.visit(default)
        for statement in node.body:
            self.visit(statement)
        self._names.pop()

    def visit_If(self, node: ast.If) -> None:
        if _names(node.test) & set(TYPING):
            return
        self._replace_node(node.test, "True")
        self._replace_node(node.test, "False")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._replace_node(node.test, "True")
        self._replace_node(node.test, "False")
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        if not isinstance(node.test, ast.Constant):
            self._replace_node(node.test, "False")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for operator, left, right in zip(
            node.ops, operands[:-1], operands[1:], strict=True
        ):
            start, end = self._end(left), self._start(right)
            between = self._text[start:end].decode()
            # Brackets and comments may stand there, too.
            if between.strip() == _written(operator):
                self._replace(start, end, f" {COMPARED[type(operator)]} ", left.lineno)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        is_and = isinstance(node.op, ast.And)
        before, after = ("and", "or") if is_and else ("or", "and")
        for operand in node.values:
            # As if it were left out. A constant is what stands for nothing.
            if not isinstance(operand, (ast.Constant, ast.JoinedStr)):
                self._replace_node(operand, str(is_and))
        for left, right in zip(node.values[:-1], node.values[1:], strict=True):
            start, end = self._end(left), self._start(right)
            between = self._text[start:end].decode()
            if between.strip() == before:
                self._replace(start, end, between.replace(before, after), left.lineno)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            # Without the bracket that may follow, which is closed after the operand.
            start = self._start(node)
            self._replace(start, start + len("not "), "", node.lineno)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        start, end = self._end(node.left), self._start(node.right)
        between = self._text[start:end].decode()
        for operator, after in CALCULATED.items():
            if isinstance(node.op, operator) and len(between.strip()) == 1:
                self._replace(start, end, f" {after} ", node.lineno)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._replace_node(node, str(not value))
        elif isinstance(value, int):
            self._replace_node(node, str(value + 1))
        elif isinstance(value, float):
            self._replace_node(node, repr(value * 2 or 1.0))

    def visit_For(self, node: ast.For) -> None:
        self._replace_node(node.iter, "()")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in TWINS:
            self._replace_node(node.func, TWINS[node.func.id])
        self._leave_out([*node.args, *node.keywords], _is_option)
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg != ASSERTS:
            self.generic_visit(node)

    def visit_Set(self, node: ast.Set) -> None:
        self._leave_out_cases(node)

    def visit_List(self, node: ast.List) -> None:
        self._leave_out_cases(node)

    def visit_Tuple(self, node: ast.Tuple) -> None:
        self._leave_out_cases(node)

    def _leave_out_cases(self, node: ast.Set | ast.List | ast.Tuple) -> None:
        if len(node.elts) > 1 and all(_is_case(one) for one in node.elts):
            self._leave_out(node.elts, _is_case)
        self.generic_visit(node)

    def _leave_out(
        self,
        listed: Sequence[ast.expr | ast.keyword],
        chosen: Callable[[ast.AST], bool],
    ) -> None:
        """Leave out each that is *chosen* of what is *listed* between commas."""
        for place, one in enumerate(listed):
            if not chosen(one):
                continue
            start, end = self._start(one), self._end(one)
            if place:
                start = self._end(listed[place - 1])
            elif len(listed) > 1:
                end = self._start(listed[1])
            text = self._text[start:end].decode()
            # Of brackets around a value, the syntax tree says nothing.
            if "#" not in text and text.count("(") == text.count(")"):
                self._replace(start, end, "", one.lineno)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.slice, ast.Tuple):
            self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None:
            self._replace_node(node.type, "()")
            if isinstance(node.type, ast.Name) and node.type.id == "BaseException":
                self._replace_node(node.type, "Exception")
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        value = node.value
        if value is None:
            self._replace_node(node, "pass")
        elif not isinstance(value, ast.Constant):
            self._replace_node(value, "None")
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        self._replace_node(node, "pass")

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, (ast.Constant, ast.Yield, ast.YieldFrom)):
            self._replace_node(node, "pass")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        # A name that is never bound is seen by every test there is.
        if any(not isinstance(target, ast.Name) for target in node.targets):
            self._replace_node(node, "pass")
        if not any(name.startswith("__") for name in _names_bound(node)):
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._replace_node(node, "pass")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._replace_node(node, "pass")
        self.generic_visit(node)

    def visit_Break(self, node: ast.Break) -> None:
        self._replace_node(node, "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace_node(node, "break")

    def visit_Assert(self, node: ast.Assert) -> None:
        """It tells the type checker something."""


def _is_option(node: ast.AST) -> bool:
    return isinstance(node, ast.keyword) and node.arg not in (None, ASSERTS)


def _is_case(node: ast.AST) -> bool:
    """Whether it is a number, a text, or what has a name of a constant or a class."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (int, str, bytes))
    name = getattr(node, "attr", getattr(node, "id", ""))
    return isinstance(node, (ast.Name, ast.Attribute)) and name[:1].isupper()


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _names_bound(node: ast.Assign) -> Iterator[str]:
    return (one.id for one in node.targets if isinstance(one, ast.Name))


def _written(operator: ast.cmpop) -> str:
    return ast.unparse(ast.Compare(ast.Name("a"), [operator], [ast.Name("b")]))[2:-2]


def modules_of(root: Path, package: str = "pooled_db") -> Iterator[str]:
    for path in sorted((root / package).rglob("*.py")):
        yield str(path.relative_to(root))
