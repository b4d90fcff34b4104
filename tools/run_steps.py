"""Runs the tests, but those that run by name, once, two steps at a time, the fast ones first, each with a time limit and a log in .cache/test-logs/.

A step ends with status 0 (passed), 77 (skipped; its last line is the reason) or anything else (failed).
A failed fast step ends the run before the slow ones begin; slow steps all run, so one run shows all that is broken.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".cache/test-logs"
SKIPPED = 77
SOAK = 8  # times as long may a step take with --soak
TAIL = 80  # lines of a failed step's log that are shown
CORES = ("2.19", "2.21")  # the oldest and the newest ansible-core that is supported
# Of the sanity tests, those whose result depends on ansible-core; the others run with the newest one.
FEWER = {f"sanity:{CORES[0]}": "".join(f" --test {test}" for test in ("ansible-doc", "compile", "ignores", "import", "validate-modules"))}
WITH_BOTH_CORES = ("valkey",)  # scenarios that run again with the one that is not in .venv


@dataclass(frozen=True)
class Step:
    name: str  # a part before a colon is the group: `molecule` chooses all `molecule:…`
    command: str  # for bash
    minutes: float = 5
    fast: bool = True
    after: str = ""  # this step comes first, when both were chosen
    alone: tuple[str, ...] = ()  # no two steps that share one of these run at the same time
    asked: bool = False  # runs only when it is named
    soak: bool = False  # runs in the soak, else only when it is named
    sample: bool = False  # a part of a step that the soak runs as a whole


IN_SOAK = ("releases", "layouts")  # journeys that take too long for an ordinary run
SAMPLED = "both_application_hosts or cannot_be or half_way"  # of the journey `releases`, what says most in little time

SAMPLE = "sample of "  # so begin the lines of a test that say what it has chosen from a matrix, and by which seed


def scenarios() -> list[str]:
    return sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))


def journeys() -> list[str]:
    """The longest, on the newest Debian, first: it goes beside all others."""
    names = (path.stem.removeprefix("test_") for path in ROOT.glob("tests/journeys/test_*.py"))
    return sorted(names, key=lambda name: (name.startswith("debian"), name), reverse=True)


def examples() -> list[str]:
    return sorted(path.parent.name for path in ROOT.glob("examples/*/tests"))


def core_steps(kind: str, minutes: float, fast: bool) -> list[Step]:
    return [Step(f"{kind}:{core}", f"tools/with-core {core} {kind}", minutes, fast, alone=(f"core {core}",)) for core in CORES]


def engine_step(name: str, command: str, minutes: float, *alone: str) -> Step:
    """A step that needs the machine's engine, the test hosts, and the images that the step `images` builds."""
    return Step(name, command, minutes, fast=False, after="images", alone=alone)


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
        Step("edge", "python -m pytest tests/edge --durations=12", 30, fast=False),  # beside the images, which nothing else can do without
        Step("unit", "python -m pytest tests/unit", asked=True),  # the same tests as `units`, for a developer's quick look
        *core_steps("units", 15, True),
        *core_steps("packaging", 15, True),
        Step("prepare", "ansible-playbook -i inventories/dev playbooks/engine.yml && tests/hosts/build", 20, fast=False),
        Step("images", "LONGSHORE_BUILD_IMAGES=1 python -m pytest tests/images", 45, fast=False, after="prepare"),
        *(Step(step.name, f"{step.command}{FEWER.get(step.name, '')}", step.minutes, step.fast, alone=step.alone) for step in core_steps("sanity", 20, False)),
        *(
            replace(engine_step(f"journey:{name}", f"python -m pytest tests/journeys/test_{name}.py", 50, "journeys"), soak=name in IN_SOAK)
            for name in journeys()
        ),
        replace(engine_step("journey:fleet", f"python -m pytest tests/journeys/test_releases.py -k '{SAMPLED}'", 50, "journeys"), sample=True),
        engine_step("machine", "python -m pytest -s tests/machine", 40),
        *(engine_step(f"molecule:{name}", f"molecule test -s {name}", 45, f"host {name}") for name in scenarios()),
        *(
            engine_step(f"molecule-{core}:{name}", f"tools/with-core {core} molecule test -s {name}", 20, f"host {name}", f"core {core}")
            for name in WITH_BOTH_CORES
            for core in CORES
            if not version("ansible-core").startswith(core)
        ),
        engine_step("migration", "python -m pytest tests/migration", 15),
        *(engine_step(f"example:{name}", f"tools/example-test {name}", 15) for name in examples()),
    ]


def chosen(available: list[Step], wanted: list[str], soak: bool) -> list[Step]:
    unknown = [name for name in wanted if not any(matches(step, name) for step in available)]
    if unknown:
        sys.exit(f"No such step: {' '.join(unknown)} (tools/test --list shows them)")
    usual = [step for step in available if not step.asked and (not step.sample if soak else not step.soak)]
    return [step for step in available if any(matches(step, name) for name in wanted)] if wanted else usual


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


class Runner:
    """Runs steps, as many at a time as there are lanes."""

    def __init__(self, lanes: int, env: dict[str, str], total: int, patience: int = 1):
        self.lanes, self.env, self.total, self.patience = lanes, env, total, patience
        self.processes: set[subprocess.Popen] = set()
        self.results: dict[str, tuple[str, float]] = {}
        self.printing = threading.Lock()

    def run(self, todo: list[Step]) -> None:
        waiting, running = list(todo), {}
        try:
            with ThreadPoolExecutor(self.lanes) as pool:
                try:
                    while waiting or running:
                        while len(running) < self.lanes and (step := self.next(waiting, running.values())):
                            waiting.remove(step)
                            running[pool.submit(self.one, step)] = step
                        done, _others = wait(running, return_when=FIRST_COMPLETED)
                        for future in done:
                            self.collect(future, running.pop(future))
                except BaseException:  # an interrupt must not leave steps running
                    self.end()
                    raise
        finally:
            self.end()

    def next(self, waiting: list[Step], running: Iterable[Step]) -> Step | None:
        """The first that needs nothing that is still to come or in use."""
        to_come = {step.name for step in [*waiting, *running]}
        used = {thing for step in running for thing in step.alone}
        return next((step for step in waiting if step.after not in to_come and not used & set(step.alone)), None)

    def one(self, step: Step) -> tuple[str, float, list[str]]:
        if self.results.get("prepare", ("",))[0] == "failed" and step.after:
            return "failed", 0, ["this machine could not be prepared"]
        with self.printing:
            print(f"  started  {step.name}", flush=True)
        started, log = time.monotonic(), log_of(step)
        with log.open("w") as output:
            process = subprocess.Popen(
                ["bash", "-o", "pipefail", "-c", step.command],
                cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
            self.processes.add(process)
            try:
                status = process.wait(step.minutes * self.patience * 60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
                output.write(f"\nended: it took longer than {step.minutes * self.patience:g} minutes\n")
                status = 124
            self.processes.discard(process)
        return {0: "passed", SKIPPED: "skipped"}.get(status, "failed"), time.monotonic() - started, log.read_text(errors="replace").splitlines()

    def collect(self, future: Future, step: Step) -> None:
        result, seconds, lines = future.result()
        self.results[step.name] = (result, seconds)
        reason = f"  ({lines[-1].strip()})" if result == "skipped" and lines else ""
        with self.printing:
            print(f"[{len(self.results)}/{self.total}] {result} in {seconds:.0f} s: {step.name}{reason}", flush=True)
            # The same line may come twice: when it is printed, and in the summary.
            for line in dict.fromkeys(line.strip() for line in lines if line.strip().startswith(SAMPLE)):
                print(f"      {line}")
            if result == "failed":
                print(f"--- the end of {log_of(step).relative_to(ROOT)} (command: {step.command})")
                print("\n".join(lines[-TAIL:]))
                print(f"--- {step.name} failed", flush=True)

    def end(self) -> None:
        for process in list(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)

    def named(self, wanted: str) -> list[str]:
        return [name for name, (result, _seconds) in self.results.items() if result == wanted]


def log_of(step: Step) -> Path:
    return LOGS / f"{step.name.replace(':', '-')}.log"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("steps", nargs="*", help="names or groups of steps; all when none is given")
    parser.add_argument("--list", action="store_true", help="show the steps and their commands")
    parser.add_argument("--soak", action="store_true", help="whole fault matrices instead of samples (STACK_SOAK=1 for the tests)")
    parser.add_argument("--lanes", type=int, default=min(2, os.cpu_count() or 1), help="how many steps run at a time (default: %(default)s)")
    options = parser.parse_args()
    todo = chosen(steps(), options.steps, options.soak)
    if options.list:
        print("\n".join(f"{step.name:24} {'fast' if step.fast else 'slow'}  {step.command}" for step in todo))
        return 0

    LOGS.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    runner = Runner(options.lanes, environment() | ({"STACK_SOAK": "1"} if options.soak else {}), len(todo), SOAK if options.soak else 1)
    runner.run([step for step in todo if step.fast])
    slow = [step for step in todo if not step.fast]
    if slow and runner.named("failed"):
        print(f"The slow steps are not run: first mend {', '.join(runner.named('failed'))}.")
    else:
        runner.run(slow)

    print("\nslowest first:")
    for name, (result, seconds) in sorted(runner.results.items(), key=lambda item: -item[1][1]):
        print(f"  {seconds:6.0f} s  {result:8} {name}")
    failed, minutes = runner.named("failed"), (time.monotonic() - began) / 60
    print(f"{len(runner.named('passed'))} passed, {len(runner.named('skipped'))} skipped, {len(failed)} failed in {minutes:.0f} minutes")
    if failed:
        print(f"failed: {' '.join(failed)}")
    return 1 if failed or not runner.results else 0


if __name__ == "__main__":
    sys.exit(main())
