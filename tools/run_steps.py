"""Runs every test of the project once, the fast ones first, each with a time limit and a log in .cache/test-logs/.

A step ends with status 0 (passed), 77 (skipped; its last line is the reason) or anything else (failed).
A failed fast step ends the run before the slow ones begin; slow steps all run, so one run shows all that is broken.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".cache/test-logs"
SKIPPED = 77
TAIL = 80  # lines of a failed step's log that are shown
CORES = ("2.19", "2.21")  # the oldest and the newest ansible-core that is supported
WITH_BOTH_CORES = ("valkey",)  # scenarios that run again with the one that is not in .venv


@dataclass(frozen=True)
class Step:
    name: str  # a part before a colon is the group: `molecule` chooses all `molecule:…`
    command: str  # for bash
    minutes: float = 5
    fast: bool = True
    engine: bool = False  # needs the prepared machine: engine and test hosts


def scenarios() -> list[str]:
    return sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))


def journeys() -> list[str]:
    return sorted(path.stem.removeprefix("test_") for path in ROOT.glob("tests/journeys/test_*.py"))


def examples() -> list[str]:
    return sorted(path.parent.name for path in ROOT.glob("examples/*/tests"))


def steps() -> list[Step]:
    return [
        Step("lint:ruff", "ruff check ."),
        Step("lint:yaml", "yamllint --strict ."),
        Step("lint:shell", "git grep --untracked -lIE '^#!.*[/ ](ba|da)?sh$' | xargs shellcheck --color=never"),
        Step("lint:docker", "git ls-files -co --exclude-standard '*Dockerfile' | xargs --no-run-if-empty hadolint"),
        Step("lint:ansible", "ansible-lint --strict"),
        Step("docs:collection", "antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=self ."),
        Step("docs:changelog", "antsibull-changelog lint"),
        Step("docs:roles", "tools/role_docs --check"),
        Step("unit", "python -m pytest tests/unit"),
        *(
            Step(f"{kind}:{core}", f"tools/with-core {core} {kind}", minutes=15, fast=kind != "sanity")
            for kind in ("units", "packaging", "sanity")
            for core in CORES
        ),
        Step("prepare", "ansible-playbook -i inventories/dev playbooks/engine.yml && tests/hosts/build", minutes=20, fast=False),
        Step("machine", "python -m pytest -s tests/machine", minutes=40, fast=False, engine=True),
        Step("images", "LONGSHORE_BUILD_IMAGES=1 python -m pytest tests/images", minutes=45, fast=False, engine=True),
        Step("migration", "python -m pytest tests/migration", minutes=10, fast=False, engine=True),
        *(Step(f"example:{name}", f"tools/example-test {name}", minutes=15, fast=False, engine=True) for name in examples()),
        *(Step(f"molecule:{name}", f"molecule test -s {name}", minutes=15, fast=False, engine=True) for name in scenarios()),
        *(
            Step(f"molecule-{core}:{name}", f"tools/with-core {core} molecule test -s {name}", minutes=15, fast=False, engine=True)
            for name in scenarios()
            for core in CORES
            if name in WITH_BOTH_CORES and not version("ansible-core").startswith(core)
        ),
        *(Step(f"journey:{name}", f"python -m pytest tests/journeys/test_{name}.py", minutes=30, fast=False, engine=True) for name in journeys()),
    ]


def chosen(available: list[Step], wanted: list[str]) -> list[Step]:
    unknown = [name for name in wanted if not any(matches(step, name) for step in available)]
    if unknown:
        sys.exit(f"No such step: {' '.join(unknown)} (tools/test --list shows them)")
    return [step for step in available if not wanted or any(matches(step, name) for name in wanted)]


def matches(step: Step, name: str) -> bool:
    return name in (step.name, step.name.partition(":")[0])


def environment() -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}
    env |= {
        "PATH": f"{ROOT / '.venv/bin'}:{env['PATH']}",
        "ANSIBLE_HOME": str(ROOT / ".ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible/collections"),
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return env


def run(step: Step, env: dict[str, str]) -> tuple[int, list[str]]:
    """The exit status and the lines of the log."""
    log = LOGS / f"{step.name.replace(':', '-')}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", step.command], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            status = process.wait(step.minutes * 60)
        except BaseException as error:  # an interrupt must not leave the step running either
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            output.write(f"\nended: it took longer than {step.minutes:g} minutes\n")
            status = 124
    return status, log.read_text(errors="replace").splitlines()


def report(step: Step, status: int, lines: list[str], seconds: float) -> str:
    result = {0: "passed", SKIPPED: "skipped"}.get(status, "failed")
    reason = f"  ({lines[-1].strip()})" if result == "skipped" and lines else ""
    print(f"{result} in {seconds:.0f} s{reason}", flush=True)
    if result == "failed":
        print(f"--- the end of .cache/test-logs/{step.name.replace(':', '-')}.log (command: {step.command})")
        print("\n".join(lines[-TAIL:]))
        print(f"--- {step.name} failed", flush=True)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("steps", nargs="*", help="names or groups of steps; all when none is given")
    parser.add_argument("--list", action="store_true", help="show the steps and their commands")
    parser.add_argument("--soak", action="store_true", help="whole fault matrices instead of samples (STACK_SOAK=1 for the tests)")
    options = parser.parse_args()
    todo = chosen(steps(), options.steps)
    if options.list:
        print("\n".join(f"{step.name:24} {'fast' if step.fast else 'slow'}  {step.command}" for step in todo))
        return 0

    LOGS.mkdir(parents=True, exist_ok=True)
    env = environment() | ({"STACK_SOAK": "1"} if options.soak else {})
    results: dict[str, tuple[str, float]] = {}
    for number, step in enumerate(todo, 1):
        failed = [name for name, (result, _seconds) in results.items() if result == "failed"]
        if failed and not step.fast and any(other.fast for other in todo if other.name in failed):
            print(f"The slow steps are not run: first mend {', '.join(failed)}.")
            break
        print(f"[{number}/{len(todo)}] {step.name} … ", end="", flush=True)
        if step.engine and "prepare" in failed:
            results[step.name] = ("failed", 0)
            print("failed: this machine could not be prepared", flush=True)
            continue
        started = time.monotonic()
        status, lines = run(step, env)
        seconds = time.monotonic() - started
        results[step.name] = (report(step, status, lines, seconds), seconds)

    print("\nslowest first:")
    for name, (result, seconds) in sorted(results.items(), key=lambda item: -item[1][1]):
        print(f"  {seconds:6.0f} s  {result:8} {name}")
    counts = {kind: sum(result == kind for result, _seconds in results.values()) for kind in ("passed", "failed", "skipped")}
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not results else 0


if __name__ == "__main__":
    sys.exit(main())
