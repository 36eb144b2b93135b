"""Published protocols of latency prediction on unseen devices, and their published figures (Spearman's ρ).

HELP (Lee et al., NeurIPS 2021), tables 2 and 3. NASFLAT (Akhauri and Abdelfattah, MLSys 2024): the numbers of its
authors' repository; its HELP and MultiPredict columns have 20 networks, too.
"""

from dataclasses import dataclass

_HELP_SOURCES = "1080ti_1 1080ti_32 {large} silver_4114 silver_4210r samsung_a50 pixel3 essential_ph_1 samsung_s7"


@dataclass(frozen=True)
class Task:
    """Source devices, devices to predict, and what others reach there (mean ρ).

    `partial`: not all of the published task's source or test devices are in the data, so that figures beside it are of
    another task.
    """

    name: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    published: dict[str, float]
    partial: str = ""


def _task(name: str, sources: str, targets: str, partial: str = "", **published: float) -> Task:
    return Task(name, tuple(sources.split()), tuple(targets.split()), published, partial)


HELP_NASBENCH201 = _task(
    "HELP, NAS-Bench-201",
    _HELP_SOURCES.format(large="1080ti_256"),
    "titan_rtx_256 gold_6226 pixel2 raspi4 eyeriss fpga",
    HELP=0.932,
    BRP_NAS_900=0.789,
    FLOPs=0.787,
)
HELP_FBNET = _task(
    "HELP, FBNet", _HELP_SOURCES.format(large="1080ti_64"), "fpga raspi4 eyeriss", HELP=0.910, MetaSGD=0.806, MAML=0.736
)
NASFLAT_FBNET = (
    _task(
        "FD",
        *(" ".join(part) for part in (HELP_FBNET.sources, HELP_FBNET.targets)),
        HELP=0.910,
        MultiPredict=0.960,
        NASFLAT=0.961,
    ),
    _task(
        "F1",
        "2080ti_1 essential_ph_1 silver_4114 titan_rtx_1 titan_rtx_32",
        "eyeriss fpga raspi4 samsung_a50 samsung_s7",
        HELP=0.370,
        MultiPredict=0.450,
        NASFLAT=0.577,
    ),
    _task(
        "F2",
        "essential_ph_1 gold_6226 gold_6240 pixel3 raspi4",
        "1080ti_1 1080ti_32 2080ti_32 titan_rtx_1 titanxp_1",
        HELP=0.793,
        MultiPredict=0.756,
        NASFLAT=0.809,
    ),
    _task(
        "F3",
        "essential_ph_1 pixel2 pixel3 raspi4 samsung_s7",
        "1080ti_1 1080ti_32 2080ti_1 titan_rtx_1 titan_rtx_32",
        HELP=0.543,
        MultiPredict=0.567,
        NASFLAT=0.871,
    ),
    _task(
        "F4",
        "1080ti_64 2080ti_1 eyeriss gold_6226 gold_6240 raspi4 samsung_s7 silver_4210r titan_rtx_1 titan_rtx_32",
        "1080ti_1 pixel2 essential_ph_1",
        HELP=0.413,
        MultiPredict=0.434,
        NASFLAT=0.814,
    ),
    _task(
        "FA",
        "1080ti_1 1080ti_32 1080ti_64 2080ti_1 2080ti_32 2080ti_64 titan_rtx_1 titan_rtx_32 titan_rtx_64 titanx_1 "
        "titanx_32 titanx_64 titanxp_1 titanxp_32 titanxp_64",
        "gold_6226 essential_ph_1 samsung_s7 pixel2",
        HELP=0.799,
        MultiPredict=0.763,
        NASFLAT=0.734,
    ),
)
NASFLAT_NASBENCH201 = (
    _task(
        "ND",
        " ".join(HELP_NASBENCH201.sources),
        " ".join(HELP_NASBENCH201.targets),
        HELP=0.948,
        MultiPredict=0.930,
        NASFLAT=0.959,
    ),
    _task(
        "N1",
        "eyeriss pixel3",
        "1080ti_1 titan_rtx_32 titanxp_1 2080ti_32 titan_rtx_1",
        "2 of 5 sources",
        HELP=0.410,
        MultiPredict=0.820,
        NASFLAT=0.893,
    ),
    _task("N2", "1080ti_1 1080ti_32 titanx_32 titanxp_1 titanxp_32", "pixel3", "1 target", NASFLAT=0.967),
    _task(
        "N3",
        "eyeriss",
        "1080ti_1 2080ti_1 titanxp_1 2080ti_32 titanxp_32",
        "1 of 5 sources",
        HELP=0.509,
        MultiPredict=0.757,
        NASFLAT=0.857,
    ),
    _task(
        "N4",
        "desktop_cpu_core_i7_7820x_fp32 eyeriss pixel2",
        "1080ti_1 2080ti_1 titan_rtx_1",
        "3 of 10 sources",
        HELP=0.729,
        MultiPredict=0.947,
        NASFLAT=0.962,
    ),
    _task(
        "NA",
        "titan_rtx_1 titan_rtx_32 titanxp_1 2080ti_1 titanx_1 1080ti_1 titanx_32 titanxp_32 2080ti_32 1080ti_32 "
        "gold_6226 samsung_s7 silver_4114 gold_6240 silver_4210r samsung_a50 pixel2",
        "eyeriss",
        "1 target",
        NASFLAT=0.959,
    ),
)
