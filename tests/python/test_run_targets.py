"""tools/run_targets: all targets run, and a failure's own words are printed last."""

import subprocess
from pathlib import Path

TOOL = Path(__file__).parents[2] / "tools/run_targets"
MAKEFILE = """
good:
	@echo fine
bad:
	@echo 'the reason' && exit 3
wordy:
	@for i in $$(seq 100); do echo "line $$i"; done; exit $(STATUS)
"""


def run(folder, *targets):
    (folder / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    return subprocess.run([str(TOOL), *targets], cwd=folder, capture_output=True, text=True, timeout=60)


def test_what_failed_is_repeated_at_the_end(tmp_path):
    done = run(tmp_path, "bad", "wordy STATUS=0", "wordy STATUS=1", "good")
    assert done.returncode == 1
    *_, reason, many = done.stdout.split("######## make ")
    assert reason.startswith("bad FAILED") and "the reason\n" in reason
    assert many.startswith("wordy FAILED") and "line 100\n" in many and "line 50\n" not in many
    assert "FAILED: bad wordy" in many and done.stdout.count("fine\n") == 1


def test_all_passed(tmp_path):
    done = run(tmp_path, "good", "wordy STATUS=0")
    assert done.returncode == 0 and done.stdout.endswith("\nall passed\n")
