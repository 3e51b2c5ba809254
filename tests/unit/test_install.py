"""The installer's decisions: from recorded machines, pip's own configuration, and what pip says."""

from pathlib import Path

import pytest

from trainer import install, setup_pip, setup_problems, setup_stamp
from trainer.setup_machine import Machine, PipConfig, nvidia_cards, parse_pip_config, read_kfd

ROOT = Path(__file__).parents[2]
WINDOWS = Machine(system="Windows", arch="AMD64", base_prefix=r"C:\Python312", root=r"C:\Loratory")
NO_DRIVER = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA "
    "driver is installed and running."
)

# What the machine says -> the build that is taken. The nvidia-smi texts are in the format of
# `--query-gpu=driver_version,name,compute_cap --format=csv,noheader`.
MACHINES = [
    ("no GPU", Machine(), "cpu"),
    ("Apple silicon", Machine(system="Darwin", arch="arm64"), "default"),
    ("RTX 3060, new driver", Machine(nvidia_smi="580.95.05, NVIDIA GeForce RTX 3060, 8.6"), "cu130"),
    ("RTX 4090, newest driver", Machine(nvidia_smi="610.12, NVIDIA GeForce RTX 4090, 8.9"), "cu130"),
    ("RTX 3060, older driver", Machine(nvidia_smi="550.144.03, NVIDIA GeForce RTX 3060, 8.6"), "cu126"),
    ("oldest driver of CUDA 12", Machine(nvidia_smi="525.60.13, NVIDIA A100-SXM4-80GB, 8.0"), "cu126"),
    ("Turing", Machine(nvidia_smi="580.65.06, NVIDIA GeForce RTX 2060, 7.5"), "cu130"),
    ("Volta needs the old build", Machine(nvidia_smi="580.65.06, Tesla V100-SXM2-16GB, 7.0"), "cu126"),
    ("Pascal needs the old build", Machine(nvidia_smi="581.80, NVIDIA GeForce GTX 1080 Ti, 6.1"), "cu126"),
    ("Maxwell needs the old build", Machine(nvidia_smi="580.65.06, NVIDIA GeForce GTX 970, 5.2"), "cu126"),
    ("Kepler is too old for any", Machine(nvidia_smi="470.256.02, Tesla K80, 3.7"), "cpu"),
    ("Blackwell", Machine(nvidia_smi="590.44, NVIDIA GeForce RTX 5090, 12.0"), "cu130"),
    ("DGX Spark", Machine(arch="aarch64", nvidia_smi="580.95.05, NVIDIA GB10, 12.1"), "cu130"),
    ("two equal cards", Machine(nvidia_smi="580.82.07, NVIDIA H200, 9.0\n580.82.07, NVIDIA H200, 9.0"), "cu130"),
    ("one old beside two new", Machine(nvidia_smi="580.82, A, 6.1\n580.82, B, 12.0\n580.82, C, 8.6"), "cu130"),
    ("name with a comma", Machine(nvidia_smi="580.82, Quadro RTX 4000, Max-Q, 7.5"), "cu130"),
    ("Windows", Machine(system="Windows", nvidia_smi="581.42, NVIDIA GeForce RTX 4070, 8.9\r"), "cu130"),
    ("driver not running", Machine(nvidia_smi=NO_DRIVER), "cpu"),
    ("nvidia-smi hangs", Machine(nvidia_smi="no answer within 20 s"), "cpu"),
    ("Radeon RX 7900", Machine(amd_gfx=("gfx1100",)), "rocm7.2"),
    ("Radeon inside a Ryzen", Machine(amd_gfx=("gfx90c",)), "cpu"),
    ("Ryzen's graphics beside an RX 9070", Machine(amd_gfx=("gfx1036", "gfx1201")), "rocm7.2"),
    ("NVIDIA beside a Ryzen's graphics", Machine(nvidia_smi="580.82, RTX 3090, 8.6", amd_gfx=("gfx1100",)), "cu130"),
]


@pytest.mark.parametrize(("machine", "expected"), [row[1:] for row in MACHINES], ids=[row[0] for row in MACHINES])
def test_build_for_machine(machine, expected):
    build, why = install.choose_build(machine)
    assert build.name == expected
    assert why


def test_a_driver_too_old_for_the_card_is_told_with_the_needed_one():
    for smi, needed in (("572.83, NVIDIA GeForce RTX 5080, 12.0", "580"), ("470.82.01, NVIDIA A40, 8.6", "525")):
        with pytest.raises(install.InstallFailed, match=f"driver {needed} or newer.*--torch cpu"):
            install.choose_build(Machine(nvidia_smi=smi))
        assert install.choose_build(Machine(nvidia_smi=smi), "cpu")[0].name == "cpu"


def test_why_no_gpu_is_used_names_what_was_seen():
    assert "couldn't communicate" in install.choose_build(Machine(nvidia_smi=NO_DRIVER))[1]
    assert "gfx90c" in install.choose_build(Machine(amd_gfx=("gfx90c",)))[1]
    assert "K80" in install.choose_build(Machine(nvidia_smi="470.256.02, Tesla K80, 3.7"))[1]


def test_old_nvidia_smi_without_capability():
    assert nvidia_cards("535.54, Tesla T4, [N/A]")[0].capability is None
    assert nvidia_cards('Field "compute_cap" is not a valid field to query.') == []


def test_amd_targets_from_the_kernel(tmp_path):
    for node, version in (("0", "0"), ("1", "90010"), ("2", "110000"), ("3", "100306")):
        (tmp_path / node).mkdir()
        text = f"simd_count 64\ngfx_target_version {version}\ndomain 0\n"
        (tmp_path / node / "properties").write_text(text, encoding="utf-8")
    assert read_kfd(tmp_path) == ("gfx90a", "gfx1100", "gfx1036")
    assert read_kfd(tmp_path / "absent") == ()


INDEX = "https://download.pytorch.org/whl/"
OWN = PipConfig(own_source=True)
OFFLINE = PipConfig(own_source=True, no_index=True)
NVIDIA = "580.95.05, NVIDIA GeForce RTX 3060, 8.6"
PIP = ["py", "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
PIP += ["--prefer-binary", "-c", str(ROOT / "trainer" / "constraints.txt")]


def ours(build):
    return [f"torch==2.13.0+{build}", "--extra-index-url", INDEX + build]


# machine, pip's configuration, --torch -> what follows the common part, for every try of the PyTorch step
COMMANDS = [
    ("CPU", Machine(), PipConfig(), None, [ours("cpu")]),
    ("CUDA", Machine(nvidia_smi=NVIDIA), PipConfig(), None, [ours("cu130")]),
    ("ROCm", Machine(amd_gfx=("gfx1100",)), PipConfig(), None, [ours("rocm7.2")]),
    ("Mac", Machine(system="Darwin", arch="arm64"), PipConfig(), None, [["torch==2.13.0"]]),
    ("--torch", Machine(nvidia_smi=NVIDIA), PipConfig(), "cu126", [ours("cu126")]),
    ("--torch unknown", Machine(), PipConfig(), "cu132", [ours("cu132")]),
    ("--torch default", Machine(nvidia_smi=NVIDIA), PipConfig(), "default", [["torch==2.13.0"]]),
    ("own, CPU", Machine(), OWN, None, [["torch==2.13.0+cpu"], ours("cpu"), ["torch==2.13.0"]]),
    ("own, CUDA", Machine(nvidia_smi=NVIDIA), OWN, None, [["torch==2.13.0+cu130"], ["torch==2.13.0"], ours("cu130")]),
    (
        "own, CUDA, Windows: a plain torch there is the CPU's",
        Machine(system="Windows", nvidia_smi=NVIDIA),
        OWN,
        None,
        [["torch==2.13.0+cu130"], ours("cu130"), ["torch==2.13.0"]],
    ),
    ("no index", Machine(nvidia_smi=NVIDIA), OFFLINE, None, [["torch==2.13.0+cu130"], ["torch==2.13.0"]]),
]


@pytest.mark.parametrize(
    ("machine", "config", "torch", "tries"), [r[1:] for r in COMMANDS], ids=[r[0] for r in COMMANDS]
)
def test_pip_commands(machine, config, torch, tries):
    torch_step, rest = install.pip_commands("py", ROOT, machine, config, (), torch)
    assert torch_step.tries == [PIP + tail for tail in tries]
    assert len(rest.tries) == 1
    assert rest.tries[0][: len(PIP)] == PIP
    assert "diffusers" in rest.tries[0]
    assert not [word for word in rest.tries[0][len(PIP) :] if word.startswith("torch=") or "://" in word]


def test_extras_are_added():
    _, rest = install.pip_commands("py", ROOT, Machine(), PipConfig(), {"tests"})
    assert {"pytest", "playwright", "ruff"} <= set(rest.tries[0])


def test_every_dependency_is_pinned():
    pinned = setup_stamp.pins(ROOT)
    assert pinned["torch"] == install.TORCH_VERSION
    names = [setup_stamp._normal(setup_stamp._name(row)) for row in setup_stamp.requirements(ROOT, {"tests"})]
    assert [name for name in names if name not in pinned] == []


PIP_CONFIGS = [
    ("", PipConfig()),
    ("global.timeout='60'\nglobal.cert='/etc/ssl/ca.pem'", PipConfig()),
    ("global.index-url='https://user:secret@mirror.example/simple'", OWN),
    (":env:.extra-index-url='file:///srv/simple'", OWN),
    ("install.find-links='/srv/wheels'", OWN),
    (":env:.no-index='true'\n:env:.find-links='/srv/wheels'", OFFLINE),
    (":env:.no-index='0'", PipConfig()),
    ("list.index-url='https://mirror.example'", PipConfig()),
]


@pytest.mark.parametrize(("text", "expected"), PIP_CONFIGS)
def test_pip_config(text, expected):
    assert parse_pip_config(text) == expected


DEEP = "C:\\Users\\Ada\\Documents\\Projects\\Pictures\\Training\\Experiments\\Loratory"
PROBLEMS = [
    ("an ordinary PC", Machine(), []),
    ("an ordinary Windows PC", WINDOWS, []),
    ("old Python", Machine(python=(3, 10)), ["3.10"]),
    ("new Python", Machine(python=(3, 15)), ["3.15"]),
    ("newest known Python", Machine(python=(3, 14)), []),
    ("32 bits", Machine(bits=32), ["32-bit"]),
    ("free-threaded", Machine(free_threaded=True), ["free-threaded"]),
    (
        "Store's Python",
        Machine(
            system="Windows",
            root="C:\\L",
            base_prefix=r"C:\Program Files\WindowsApps\PythonSoftwareFoundation.Python.3.12_3.12.2800.0_x64__qbz5",
        ),
        ["Microsoft Store"],
    ),
    ("Debian without venv", Machine(has_ensurepip=False, python=(3, 11)), ["sudo apt install python3.11-venv"]),
    ("Intel Mac", Machine(system="Darwin", arch="x86_64"), ["Intel Macs"]),
    ("deep folder", Machine(system="Windows", root=DEEP, long_paths=False), ["limit of 260"]),
    ("deep folder, long paths allowed", Machine(system="Windows", root=DEEP, long_paths=True), []),
    ("deep folder on Linux", Machine(root="/" + "x" * 120), []),
    ("OneDrive by name", Machine(system="Windows", root=r"C:\Users\Ada\OneDrive - Firm\Loratory"), ["OneDrive"]),
    (
        "OneDrive by variable",
        Machine(system="Windows", root=r"D:\Cloud\Loratory", onedrive=(r"d:\cloud",)),
        ["OneDrive"],
    ),
    ("beside OneDrive", Machine(system="Windows", root=r"D:\Cloud2\Loratory", onedrive=(r"D:\Cloud",)), []),
    ("read-only", Machine(root="/opt/loratory", root_writable=False), ["/opt/loratory"]),
    ("two at once", Machine(python=(3, 9), bits=32), ["3.9", "32-bit"]),
]


@pytest.mark.parametrize(("machine", "words"), [row[1:] for row in PROBLEMS], ids=[row[0] for row in PROBLEMS])
def test_problems(machine, words):
    found = setup_problems.find(machine)
    assert len(found) == len(words)
    for sentence, word in zip(found, words, strict=True):
        assert word in sentence
        assert sentence.endswith(".")
        assert ": " in sentence or "install" in sentence  # every one says what to do


def test_non_ascii_path_is_a_warning_on_windows_only():
    for system, count in (("Windows", 1), ("Linux", 0)):
        machine = Machine(system=system, root="C:\\Users\\Zoë\\Loratory")
        assert setup_problems.find(machine) == []
        assert len(setup_problems.find(machine, setup_problems.WARNINGS)) == count


def test_longest_path_of_this_environment_is_what_the_check_assumes():
    site = Path(setup_problems.__file__).parents[1] / ".venv" / "lib"
    if not site.is_dir():
        pytest.skip("no environment of our own here")
    longest = max(len(str(path.relative_to(site.parent.parent))) for path in site.rglob("*"))
    assert longest - len("lib/python3.11") + len("Lib") <= setup_problems.LONGEST_INSTALLED


def test_disk():
    assert setup_problems.disk_too_full(50, 10, "/x") is None
    assert "1.5 GB free" in setup_problems.disk_too_full(1.5, 10, "/x")


CAUSES = [
    ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
    (
        "WARNING: Retrying: 'NewConnectionError(... Failed to establish a new connection: [Errno -3] Temporary failure "
        "in name resolution')'\nERROR: No matching distribution found for torch==2.13.0+cpu",
        "no way to the download server",
    ),
    ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))", "certificate"),
    ("ERROR: No matching distribution found for torch==2.13.0+cu126", "No matching build of PyTorch"),
    (
        "ERROR: Cannot install torch==2.13.0 because these package versions have conflicting dependencies.\n"
        "ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/",
        "No matching build of PyTorch",
    ),
    ("ERROR: No matching distribution found for gradio==6.31.0", "A package was not found"),
    ("OSError: [WinError 5] Access is denied: 'c:\\loratory\\.venv\\x.dll'", "could not be written"),
    ("PermissionError: [Errno 13] Permission denied: '/opt/x'", "could not be written"),
    ("[WinError 206] The filename or extension is too long", "shorter path"),
    ("error: subprocess-exited-with-error", "compiled"),
    ("something else", "lines above"),
]


@pytest.mark.parametrize(("text", "words"), CAUSES)
def test_cause_in_plain_words(text, words):
    assert words in setup_pip.cause_of(text)


def test_pip_does_not_install_elsewhere(monkeypatch):
    for name in ("PIP_TARGET", "PIP_USER", "PYTHONPATH"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    kept = setup_pip.clean_environment()
    assert not {"PIP_TARGET", "PIP_USER", "PYTHONPATH"} & set(kept)
    assert kept["PIP_INDEX_URL"] == "https://mirror.example/simple"


def test_torch_build_is_read_without_importing(tmp_path):
    (tmp_path / "torch").mkdir()
    rows = {
        "cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n": "cu130",
        "cuda: Optional[str] = None\nhip: Optional[str] = '7.2.53211'\n": "rocm7.2",
        "cuda: Optional[str] = None\nhip: Optional[str] = None\nrocm: Optional[str] = None\n": "cpu",
    }
    for text, expected in rows.items():
        (tmp_path / "torch" / "version.py").write_text(text, encoding="utf-8")
        assert setup_stamp.torch_build([str(tmp_path)]) == expected
    assert setup_stamp.torch_build([str(tmp_path / "absent")]) == ""


def test_index_addresses_stand_in_one_file():
    files = [*ROOT.glob("*.py"), *ROOT.glob("trainer/**/*.py"), *ROOT.glob("gui/**/*.py")]
    holding = [path.name for path in files if "download.pytorch.org" in path.read_text(encoding="utf-8")]
    assert holding == ["install.py"]
