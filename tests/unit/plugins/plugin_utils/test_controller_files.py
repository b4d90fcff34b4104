# Copyright (c) 2026 longshore contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret

from ansible_collections.longshore.stack.plugins.plugin_utils.controller_files import found, read_file, search_path


@pytest.fixture
def loader(tmp_path):
    made = DataLoader()
    made.set_basedir(str(tmp_path))
    return made


def test_a_file_is_found_beside_the_playbook_and_in_its_folder_of_files(tmp_path, loader):
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a").write_text("x")
    assert found(search_path(str(tmp_path)), os.path.isfile, "a") == str(tmp_path / "files/a")
    assert found(search_path(str(tmp_path)), os.path.isfile, str(tmp_path / "files/a")) == str(tmp_path / "files/a")
    assert found(search_path(str(tmp_path)), os.path.isfile, "b") == ""
    assert read_file(loader, "a") == b"x"
    with pytest.raises(OSError, match="is not on the controller"):
        read_file(loader, "b")


def test_what_the_vault_has_encrypted_is_read_and_leaves_nothing_behind(tmp_path, loader):
    secret = [("default", VaultSecret(b"pass"))]
    (tmp_path / "key").write_bytes(VaultLib(secret).encrypt(b"private"))
    with pytest.raises(OSError, match="cannot be decrypted"):
        read_file(loader, "key")
    loader.set_vault_secrets(secret)
    assert read_file(loader, "key") == b"private"
    assert not loader._tempfiles
