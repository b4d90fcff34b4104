# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from image_support import docker

WHEEL = """
import zipfile
with zipfile.ZipFile("/tmp/hello-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("hello.py", "def main():\\n    print('hello from a wheel')\\n")
    wheel.writestr("hello-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: hello\\nVersion: 1.0\\n")
    wheel.writestr("hello-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("hello-1.0.dist-info/entry_points.txt", "[console_scripts]\\nhello = hello:main\\n")
    wheel.writestr("hello-1.0.dist-info/RECORD", "")
"""


@pytest.fixture(scope="module")
def ref(images):
    return images.ref("python")


def run(ref, script, *options):
    return docker("run", "--rm", "--network", "none", *options, ref, "sh", "-ec", script)


@pytest.mark.parametrize("command", ["python", "python3", "python3.13", "pip", "pip3"])
def test_a_command_is_in_usr_local_bin_and_belongs_to_python_3_13(ref, command):
    out = run(ref, f"command -v {command}; {command} --version").stdout
    assert out.startswith(f"/usr/local/bin/{command}\n")
    assert "3.13" in out


def test_pip_installs_into_the_images_own_python(ref):
    script = f"python - <<'END'\n{WHEEL}\nEND\npip install --quiet --no-index /tmp/*.whl 2>/tmp/err; hello; command -v hello; cat /tmp/err"
    out = run(ref, script).stdout
    assert out.startswith("hello from a wheel\n/usr/local/bin/hello\n")
    assert "externally-managed" not in out


def test_an_environment_works_for_an_ordinary_user_on_a_read_only_root(ref):
    make = "python -m venv /tmp/venv; cd /tmp/venv/bin; ./pip install --quiet --no-index /tmp/*.whl; ./hello; ./python -V"
    hardening = ("--user", "10001:10001", "--read-only", "--tmpfs", "/tmp:exec", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    out = run(ref, f"python - <<'END'\n{WHEEL}\nEND\n{make}", *hardening).stdout
    assert out.startswith("hello from a wheel\nPython 3.13")


def test_what_python_says_is_utf8_and_https_has_authorities(ref):
    script = "import ssl, sys, sqlite3, lzma, zoneinfo; trusted = len(ssl.create_default_context().get_ca_certs());"
    script += 'print(sys.stdout.encoding, trusted > 50, zoneinfo.ZoneInfo("Europe/Paris"))'
    assert run(ref, f"python -c '{script}'").stdout.split() == ["utf-8", "True", "Europe/Paris"]
