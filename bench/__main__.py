"""All of `bench/` in one go, side by side with peers: `make bench` writes bench/RESULTS.md. Ratios and quantiles only.

The machine should have nothing else to do; its load average is printed with the results.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PARTS = {
    "startup.py": "Being called",
    "toxic.py": "Inject and heal one latency toxic",
    "load.py": "The load generator",
    "recovery.py": "Measured recovery time at 10 ms probes",
    "reconciling.py": "The operator, and what it keeps",
    "first_injection.py": "From `kubectl apply` to the first injection",
}


def main() -> None:
    sections = [f"# Results\n\n`make bench` writes this file. {machine()}\n"]
    for name, title in PARTS.items():
        print(f"{name} …", file=sys.stderr)
        done = subprocess.run([sys.executable, HERE / name], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name} failed:\n{done.stderr}")
        sections.append(f"## {title}\n\n`python bench/{name}`\n\n{done.stdout.strip()}\n")
    text = "\n".join(sections)
    (HERE / "RESULTS.md").write_text(text, encoding="utf-8")
    print(text)


def machine() -> str:
    """Say what it ran on."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    cores, load, python = os.cpu_count(), os.getloadavg()[0], platform.python_version()
    return f"Measured on {cores} cores ({cpu}), Linux {platform.release()}, Python {python}; load {load:.1f}."


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    main()
