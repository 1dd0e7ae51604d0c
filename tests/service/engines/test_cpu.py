from pathlib import Path

import pytest

from service.engines.cpu import int8_instructions

XEON = """processor	: 0
model name	: Intel(R) Xeon(R) Platinum 8275CL CPU @ 3.00GHz
flags		: fpu vme avx2 avx512f avx512_vnni ida
bugs		: spectre_v1 avx_vnni
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (XEON, "avx512_vnni"),
        (XEON.replace("avx512_vnni", "avx_vnni"), "avx_vnni"),
        (XEON.replace("avx512_vnni", "avx512_vnnix"), ""),  # nor is what stands among the bugs one
        ("processor\t: 0\nFeatures\t: fp asimd asimddp\n", ""),  # of an ARM
    ],
)
def test_the_kernel_names_the_instructions(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert int8_instructions(tmp_path / "cpuinfo") == found


def test_a_system_without_such_a_file_names_none(tmp_path: Path) -> None:
    assert int8_instructions(tmp_path / "cpuinfo") == ""
