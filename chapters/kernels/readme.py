"""Runs the commands of README.md, in a copy of this directory: ``python readme.py [SECTION ...]``, such as C.

A comment in a block of commands is something that the command before it prints. Where a block of text follows the
commands, everything they print stands there.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TEXT = (HERE / "README.md").read_text()
BLOCK = re.compile(r"```sh\n(.*?)```(?:\s*```text\n(.*?)```)?", re.DOTALL)
# `refquant` and `python` are those that run this file, whichever are on the path
SHELL = f'refquant() {{ "{sys.executable}" -m refquant "$@"; }}\n'


def sections():
    """{title: its blocks of commands, each with the text after it}; the title of what precedes the first is empty."""
    titles = re.split(r"^## (.*)\n", "\n" + TEXT, flags=re.MULTILINE)
    return {title: BLOCK.findall(body) for title, body in zip(["", *titles[1::2]], titles[::2], strict=True)}


def broken_promises(title, directory):
    """Run the commands of a section in ``directory``; what they should have printed or should not have."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for commands, text in sections()[title]:
        done = subprocess.run(["bash"], input=SHELL + commands, cwd=directory, env=os.environ | {"PATH": path},
                              capture_output=True, text=True)
        place = 0
        for promise in re.findall("^# (.*)", commands, re.MULTILINE):
            found = done.stdout.find(promise, place)
            if found < 0:
                yield f"not printed: {promise}\n{done.stdout[place:]}{done.stderr}"
                break
            place = found + len(promise)
        if text:
            yield from (f"printed: {line}\n{done.stderr}" for line in done.stdout.splitlines()
                        if line not in text.splitlines())
        if "Traceback" in done.stderr:
            yield done.stderr


def prepared(directory):
    """A copy of this directory within ``directory``, with the suite that the sections share."""
    copy = shutil.copytree(HERE, Path(directory) / "kernels", ignore=shutil.ignore_patterns("*.so", "suite"))
    broken = list(broken_promises("", copy))
    assert not broken, broken
    return copy


def main(titles):
    with tempfile.TemporaryDirectory(prefix="kernels-") as directory:
        copy = prepared(directory)
        broken = [promise for title in titles or list(sections())[1:] for promise in broken_promises(title, copy)]
    print("\n".join(broken) or "README.md holds")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
