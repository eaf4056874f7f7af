"""The files of a new feature, made from `templates/`."""

from pathlib import Path
from string import Template

TEMPLATES = Path(__file__).parent / "templates"
# Only a feature with models has these.
MODEL_FILES = ("models.py", "admin.py")


def files_of(package: str, name: str, *, models: bool) -> dict[Path, str]:
    """Each new file, relative to the project, and its text.

    Args:
        package: the service's own package, such as `risk_desk`.
        name: the feature, such as `weather`.
        models: with `models.py`, `admin.py` and a folder for migrations.
    """
    values = {
        "package": package,
        "name": name,
        "setting": f"{name.upper()}_URL",
        "title": name.replace("_", " "),
    }
    feature = Path(package, name)
    files = {feature / "__init__.py": ""}
    for template in sorted(TEMPLATES.glob("*.txt")):
        target = template.stem
        if target in MODEL_FILES and not models:
            continue
        text = Template(template.read_text(encoding="utf-8")).substitute(values)
        path = Path("tests", f"test_{name}.py") if target == "test.py" else feature / target
        files[path] = text
    if models:
        files[feature / "migrations" / "__init__.py"] = ""
    return files
