#!/usr/bin/python
# Copyright (c) 2026 longshore contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: image
short_description: An image made present on the host, from a registry, a recipe or an archive
version_added: 0.1.0
description:
  - Makes sure that the host's engine has an image, and says by which reference it is to be run.
  - What was chosen for a repository is kept on the host in O(state_path). O(source=auto) stays with it, so that an outage of a registry never
    changes the build under existing data.
  - A pull or a build runs detached on the host. It goes on when the connection is lost, and a second run follows it instead of starting another.
    The action prints a line every ten seconds.
  - In check mode nothing is pulled, built or loaded; RV(msg) says what would be done.
  - Needs to run as root on the managed host.
author:
  - longshore contributors (@longshore)
extends_documentation_fragment:
  - longshore.stack.attributes
options:
  name:
    description: Upstream reference of the image. The tag, or V(latest), is the version in the tag of an image that is built.
    type: str
    required: true
  source:
    description:
      - Where the image comes from.
      - V(auto) takes the source that is kept in O(state_path). Where none is kept it takes the image that the host has, else the archive if
        there is one, else the registry, and if that does not answer it builds from the recipe and warns about that.
    type: str
    default: auto
    choices: [auto, registry, build, archive]
  refresh:
    description:
      - Ask the registry although the host has an image of that name, because the tag may have been pushed again since. Only where the image comes
        from a registry.
      - Where the registry does not answer, the image that is there is taken, with a warning.
    type: bool
    default: false
  recipe:
    description:
      - Folder on the controller with a C(Dockerfile) and its files, all of them text.
      - It is built on O(base), or on a minimal Debian that the host makes itself with C(mmdebstrap), once. The build argument C(BASE_IMAGE) names it.
      - The image is C(longshore/NAME:VERSION-HASH). NAME is the folder's name, or the role's name if the folder is C(files/image) of a role.
    type: path
  context:
    description:
      - Folder on the controller with an application and its C(Dockerfile). A C(.dockerignore) is respected. It is sent only if the image is missing.
      - The image is C(longshore/NAME:VERSION-HASH). NAME is the last part of O(name).
    type: path
  dockerfile:
    description: Path of the C(Dockerfile) in O(context) or O(recipe).
    type: str
    default: Dockerfile
  target:
    description: Stage of the C(Dockerfile) to build. Without it, the last one.
    type: str
    default: ""
  args:
    description: Build arguments. They are seen in the image's history, so none may be a secret.
    type: dict
    default: {}
  base:
    description: Image to build on, given to the build as the argument C(BASE_IMAGE).
    type: str
    default: ""
  archive:
    description:
      - File on the controller made by C(docker save). It is sent only if the image is missing.
      - If it holds several images, one of them must have the tag O(name).
    type: path
  state_path:
    description:
      - File on the managed host that keeps what was chosen.
      - The action takes C(images.json) in C(stack_root) where that variable is known.
    type: path
    required: true
  timeout:
    description: Seconds until a pull, a build or a load is ended.
    type: int
    default: 3600
  sent:
    description: What the action read on the controller; not for tasks.
    type: dict
    default: {}
  resume:
    description: What the slice before answered; not for tasks.
    type: dict
    default: {}
notes:
  - "A O(recipe) gets the folder C(.longshore) in its context: C(env), shell assignments with the host's package indexes and certificate
    authorities, and C(ca-bundle.crt). A stage that needs them copies the folder to C(/build-host) and reads C(/build-host/env); it must not be
    the last stage. The stages that are not part of the image are removed after the build."
  - "A O(context) gets the file C(ca-bundle.crt), the certificate authorities that the host trusts, unless it has one; and the host's package
    indexes as build arguments: C(PIP_INDEX_URL), C(PIP_EXTRA_INDEX_URL), C(PIP_TRUSTED_HOST), C(GOPROXY) and such, where they are set."
  - Proxies are given to every build as the usual build arguments.
  - The classic builder of the engine is used, which every engine has.
seealso:
  - module: longshore.stack.compose_project
  - name: Predefined build arguments
    description: Proxies as build arguments do not stay in the image.
    link: https://docs.docker.com/reference/dockerfile/#predefined-args
"""

EXAMPLES = r"""
- name: Have the image of Valkey
  longshore.stack.image:
    name: valkey/valkey:8.1.4
    source: auto
    recipe: "{{ role_path }}/files/image"
    state_path: /opt/shop/images.json
  register: valkey_image

- name: Have the application's image, built from its source
  longshore.stack.image:
    name: registry.example.org/shop:1.4.2
    source: build
    context: "{{ playbook_dir }}/shop"
    target: prod
    base: "{{ python_image.ref }}"
    args:
      APP_VERSION: 1.4.2
    state_path: /opt/shop/images.json

- name: Have an image without any network
  longshore.stack.image:
    name: caddy:2.11.7
    source: archive
    archive: images/caddy-2.11.7.tar
    state_path: /opt/shop/images.json
"""

RETURN = r"""
ref:
  description: Reference to run the image by. In check mode, the one that is expected.
  returned: success
  type: str
  sample: longshore/valkey:8.1.4-0f3c1a9be27d
id:
  description: Id of the image in the engine; empty in check mode if the image is missing.
  returned: success
  type: str
  sample: sha256:cf5152b1b733a1f8a6c1e1a0e9d1fb6ecb0a7d0b3b2d9c2a5c7f3e1d0a9b8c7d
digest:
  description:
    - Digest of the manifest in the registry; empty for an image that was built or loaded.
    - In check mode with O(source=registry) the registry is asked for it, by C(docker buildx) or C(docker manifest); empty where they cannot tell.
  returned: success
  type: str
  sample: sha256:3bb23e65113c347f9d76c1cf6b7f9b8926ae6c58e8c89c2236ec8c4bfc09c014
source:
  description: Where the image came from.
  returned: success
  type: str
  sample: build
msg:
  description: What would be done.
  returned: in check mode, if the image is missing
  type: str
  sample: would pull valkey/valkey:8.1.4, or if that fails build longshore/valkey:8.1.4-0f3c1a9be27d
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.longshore.stack.plugins.module_utils._engine import Engine, EngineError
from ansible_collections.longshore.stack.plugins.module_utils._image import ImageError
from ansible_collections.longshore.stack.plugins.module_utils._image_host import Slice

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "source": {"type": "str", "default": "auto", "choices": ["auto", "registry", "build", "archive"]},
    "refresh": {"type": "bool", "default": False},
    "recipe": {"type": "path"},
    "context": {"type": "path"},
    "dockerfile": {"type": "str", "default": "Dockerfile"},
    "target": {"type": "str", "default": ""},
    "args": {"type": "dict", "default": {}},
    "base": {"type": "str", "default": ""},
    "archive": {"type": "path"},
    "state_path": {"type": "path", "required": True},
    "timeout": {"type": "int", "default": 3600},
    "sent": {"type": "dict", "default": {}},
    "resume": {"type": "dict", "default": {}},
}


def main():
    module = AnsibleModule(ARGUMENTS, mutually_exclusive=[("recipe", "context")], supports_check_mode=True)
    try:
        result = Slice(module.params, module.check_mode, Engine(), module.warn).run()
    except (ImageError, EngineError) as error:
        module.fail_json(msg=str(error))
    except PermissionError as error:
        module.fail_json(msg=f"{error}; this module needs root on the managed host (become: true)")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
