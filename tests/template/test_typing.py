"""mypy knows the models of a job, in its first run and in every later one."""

from pathlib import Path

import pytest

from .conftest import bake, run


@pytest.mark.timeout(900)
def test_mypy_stays_green_after_an_edit_and_finds_wrong_parameters(tmp_path: Path) -> None:
    """Three runs of mypy, some 20 s the first on two cores: cold, after an edit, after a mistake.

    mypy reads the types of unchanged modules from its cache. A type that it could not infer
    passes in a cold run and is an error in the next one.
    """
    assert bake(tmp_path).returncode == 0
    project = tmp_path / "risk_desk"
    api = project / "risk_desk" / "portfolio" / "api.py"
    source = api.read_text()

    cold = run("mypy", cwd=project)
    assert cold.returncode == 0, cold.stdout

    api.write_text(source + "# an edit\n")
    warm = run("mypy", cwd=project)
    assert warm.returncode == 0, warm.stdout

    mistake = source.replace("submit(risk, await _params(body),", "submit(risk, body,")
    assert mistake != source
    api.write_text(mistake)
    wrong = run("mypy", cwd=project)
    assert wrong.returncode == 1
    # mypy's words for a job type and parameters of different models.
    assert 'Cannot infer value of type parameter "P" of "submit"' in wrong.stdout
