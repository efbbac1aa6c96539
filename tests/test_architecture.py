"""The rules that keep the code readable: imports run one way, the core stays a core, files stay short."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "gradcam_core"
PAGES = [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))]
FILES = sorted(CORE.rglob("*.py"))

# Each row may import only from rows above it. The files of one part see each other; those of two parts of one row
# do not, except where SAME_ROW says so.
ROWS = [
    {"shapes", "errors", "version", "text", "files", "progress"},
    {"placement", "registry", "kinds", "tasks", "catalogue", "picture", "reading"},
    {"records"},
    {"readers", "preprocess", "layers", "targets", "devices", "samples"},
    {"capture"},
    {"sources", "methods"},
    {"heatmaps", "suitability", "choosing"},
    {"explanation", "similarity"},
    {"measures", "render", "many"},
    {"checks"},
    {"comparison"},
    {"evaluation"},
    {"exporters", "audit", "dicomweb"},
    {"batch", "runners", "verification"},
    {"commands", "training"},
    {"cli", "__main__"},
]
# Planned, and not there yet.
PLANNED = set[str]()
ROW = {part: index for index, row in enumerate(ROWS) for part in row}
SAME_ROW = {("batch", "runners"), ("runners", "batch"), ("__main__", "cli")}
CHANGING = {"append", "add", "update", "pop", "clear", "extend", "insert", "setdefault", "remove", "discard"}
LONGEST_FILE, LONGEST_FUNCTION = 300, 40
PUBLIC_USERS = {"commands", "cli"}


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(file: Path) -> Iterator[str]:
    """Full names of what a file imports, wherever in it."""
    package = ["gradcam_core", *file.relative_to(CORE).parent.parts] if file.is_relative_to(CORE) else []
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def part_of(file: Path) -> str:
    return file.relative_to(CORE).parts[0].removesuffix(".py")


def calls(file: Path) -> Iterator[str]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def ids(files: list[Path]) -> list[str]:
    return [str(file.relative_to(ROOT)) for file in files]


def public_names() -> set[str]:
    """What the package offers: the names in its stub."""
    stub = tree(CORE / "__init__.pyi")
    return {alias.asname or "" for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_the_rows_are_the_parts_that_exist_and_those_that_are_planned() -> None:
    parts = {part_of(file) for file in FILES} - {"__init__"}
    assert set(ROW) - PLANNED == parts
    assert len(ROW) == sum(map(len, ROWS)), "a part stands in two rows"


@pytest.mark.parametrize("file", FILES, ids=ids(FILES))
def test_imports_run_one_way(file: Path) -> None:
    here = part_of(file)
    if here == "__init__":
        return
    for name in imports(file):
        if name.split(".")[0] != "gradcam_core" or (name == "gradcam_core" and here in PUBLIC_USERS):
            continue
        assert name.count("."), f"{file.name} imports the whole package"
        there = name.split(".")[1]
        assert there in ROW, name
        assert ROW[there] < ROW[here] or there == here or (here, there) in SAME_ROW, f"{here} imports {there}"


@pytest.mark.parametrize("file", FILES, ids=ids(FILES))
def test_the_core_knows_no_streamlit_and_does_not_print(file: Path) -> None:
    assert not [name for name in imports(file) if name.split(".")[0] == "streamlit"]
    if part_of(file) != "commands":
        assert not {"print", "input", "warnings.warn", "sys.stdout.write", "sys.stderr.write"} & set(calls(file))


@pytest.mark.parametrize("file", FILES, ids=ids(FILES))
def test_the_core_holds_no_state_that_changes(file: Path) -> None:
    nodes = list(ast.walk(tree(file)))
    assert not [node for node in nodes if isinstance(node, ast.Global)]
    constants = set()
    for node in tree(file).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            constants |= {target.id for target in targets if isinstance(target, ast.Name)}
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
            assert ast.unparse(node.func.value) not in constants, f"line {node.lineno}"
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            assert ast.unparse(node.value) not in constants, f"line {node.lineno}"


@pytest.mark.parametrize("file", FILES, ids=ids(FILES))
def test_only_capture_touches_hooks_and_autograd(file: Path) -> None:
    touching = ("register_forward_hook", "register_forward_pre_hook", "autograd.grad", ".backward(", "register_full")
    found = [word for word in touching if word in file.read_text(encoding="utf-8")]
    assert not found or part_of(file) == "capture"


@pytest.mark.parametrize("file", PAGES, ids=ids(PAGES))
def test_pages_use_the_cores_public_names_only(file: Path) -> None:
    public = public_names()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            assert not [alias.name for alias in node.names if alias.name.startswith("gradcam_core")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gradcam_core":
            assert node.module == "gradcam_core"
            assert {alias.name for alias in node.names} <= public | {"__version__"}


@pytest.mark.parametrize("file", FILES + PAGES, ids=ids(FILES + PAGES))
def test_files_stay_short(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("file", FILES, ids=ids(FILES))
def test_what_is_public_describes_itself(file: Path) -> None:
    if file.stat().st_size:
        assert ast.get_docstring(tree(file)), "a file begins with what it is for"
    for node in tree(file).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            words = ast.get_docstring(node)
            assert words, node.name
            assert words.split("\n")[0].rstrip().endswith((".", ":", "?")), f"{node.name}: one line, a sentence"


@pytest.mark.parametrize("file", FILES, ids=ids(FILES))
def test_nothing_swallows_errors_or_loads_unsafely(file: Path) -> None:
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: a bare except"
            assert not all(isinstance(x, ast.Pass) for x in node.body), f"line {node.lineno}: except ...: pass"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "load"):
            safe = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert safe.get("weights_only") == "True", f"line {node.lineno}"
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in ("eval", "exec", "pickle.load", "pickle.loads")


def test_no_module_has_the_name_of_a_public_function() -> None:
    # The import system would put the module in the function's place.
    public = public_names()
    assert public
    assert not public & {part_of(file) for file in FILES}
    for package in CORE.rglob("__init__.py"):
        exported = {a.asname for n in tree(package).body if isinstance(n, ast.ImportFrom) for a in n.names}
        assert not exported & {file.stem for file in package.parent.glob("*.py")}, package.parent.name


def test_no_file_is_called_by_what_it_is_not_for() -> None:
    for file in FILES + PAGES:
        assert file.stem not in ("utils", "util", "helpers", "base", "manager", "common", "misc", "shared")


@pytest.mark.parametrize("file", [file for file in FILES if part_of(file) in PUBLIC_USERS], ids=lambda file: file.stem)
def test_the_terminal_uses_the_cores_public_names_as_pages_do(file: Path) -> None:
    small_rooms = ROWS[0] | PUBLIC_USERS
    for name in imports(file):
        if name.startswith("gradcam_core."):
            assert name.split(".")[1] in small_rooms, f"{name}: use core.NAME, which is imported when it is needed"
    used = {
        node.attr
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "core"
    }
    assert used <= public_names()


@pytest.mark.parametrize("file", FILES + PAGES, ids=ids(FILES + PAGES))
def test_functions_stay_short(file: Path) -> None:
    lengths = [(node.name, (node.end_lineno or 0) - node.lineno + 1) for node in functions(file)]
    assert not [(name, length) for name, length in lengths if length > LONGEST_FUNCTION]


def test_the_list_of_slow_tests_names_tests_that_exist() -> None:
    for line in filter(lambda line: "::" in line, (ROOT / "tests" / "slow.txt").read_text("utf-8").splitlines()):
        file, name = line.split("::", 1)
        assert f"def {name.split('[')[0]}(" in (ROOT / "tests" / file).read_text("utf-8"), line
