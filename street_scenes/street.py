"""The layout of a street: ground from kerb to kerb, what lines it, and who is on it."""

from collections.abc import Iterator, Sequence
from math import pi
from random import Random
from typing import NamedTuple

from street_scenes.drawing.canvas import Material, Plane
from street_scenes.stage import Stage
from street_scenes.things import buildings, furniture, people, plants, vehicles
from street_scenes.town import leaf_color, scaled, tinted

ROAD, SIDEWALK, PARKING, RAIL_TRACK, TERRAIN = 7, 8, 9, 10, 22

LANE_M, BAY_M, TRACK_M = 3.3, 2.3, 3.2
END_M, HORIZON_M = 150.0, 2500.0

_GROUND = Plane((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
_BENDS_M = (2, 4, 6, 9, 13, 18, 25, 34, 46, 62, 84, 115)
"""Where the outlines of the ground have corners, so that they follow the street's bend."""


class Side(NamedTuple):
    """One side of the street, from the road outwards; `sign` is -1 on the left. All x in metres.

    Parking bays reach from the kerb to `edge`, a verge from there to `walk_from`, a garden from `walk_to` to `front`.
    """

    sign: int
    kerb: float
    edge: float
    walk_from: float
    walk_to: float
    front: float


class Street(NamedTuple):
    """Lanes are numbered from the camera's, 0, with its middle at x = `shift`; those on the left are oncoming."""

    shift: float
    lanes: range
    has_tracks: bool
    left: Side
    right: Side


def build(stage: Stage) -> None:
    """Lay out a street and paint it."""
    rng = stage.rng
    lanes = range(*rng.choice(((-1, 1), (-1, 1), (-1, 2), (-2, 2), (0, 2), (-1, 1))))
    shift, has_tracks = rng.uniform(-0.5, 0.5), rng.random() < stage.town.tram_share
    left = _side(stage, -1, shift + LANE_M * (lanes.start - 0.5) - (TRACK_M if has_tracks else 0))
    right = _side(stage, 1, shift + LANE_M * (lanes.stop - 0.5))
    street = Street(shift, lanes, has_tracks, left, right)
    _ground(stage, street)
    _markings(stage, street)
    for side in (left, right):
        _line(stage, side)
        _furnish(stage, side)
    crossing = _crossing(stage, street) if rng.random() < 0.4 else None
    _traffic(stage, street, crossing)
    # Trees and houses far off, so that the street does not end in the sky.
    for z in _some(rng, range(6, 15), 160, 260):
        x = rng.uniform(-160, 160)
        if rng.random() < 0.5:
            stage.later(z, plants.tree, x, z, rng.uniform(8, 20))
        else:
            stage.later(z + 12, buildings.house, x, z, z + 12, rng.uniform(8, 30), 14 if x > 0 else -14)
    stage.later(263, plants.hedge, -260, 262, 263, rng.uniform(5, 12), 520)
    stage.paint()


def _side(stage: Stage, sign: int, kerb: float) -> Side:
    def width(share: float, least: float, most: float) -> float:
        return stage.rng.uniform(least, most) if stage.rng.random() < share else 0.0

    edge = kerb + sign * width(stage.town.parking_share, BAY_M, BAY_M)
    walk_from = edge + sign * width(0.3, 0.8, 3)
    walk_to = walk_from + sign * width(0.94, 1.8, 5)
    return Side(sign, kerb, edge, walk_from, walk_to, walk_to + sign * (0.05 + width(0.3, 1.5, 7)))


def _spaced(rng: Random, start: float, end: float, spacing: tuple[float, float]) -> Iterator[float]:
    """Places from near `start` to `end`, with a distance drawn from `spacing` between each two."""
    z = start + rng.random() * spacing[0]
    while z < end:
        yield z
        z += rng.uniform(*spacing)


def _some(rng: Random, counts: Sequence[int], near: float, far: float) -> list[float]:
    """Places anywhere between near and far, as many as one of `counts`."""
    return [rng.uniform(near, far) for _ in range(rng.choice(counts))]


def _strip(stage: Stage, x: float, other: float, material: Material, near: float = 0.3, far: float = 160.0) -> None:
    """A band of ground along the street, left out if it has no width."""
    if x != other:
        zs = [near, *(z for z in _BENDS_M if near < z < far), far]
        outline = [stage.at(x, 0, z) for z in zs] + [stage.at(other, 0, z) for z in reversed(zs)]
        stage.canvas.polygon(outline, material, _GROUND)


def _ground(stage: Stage, street: Street) -> None:
    rng, town, left, right = stage.rng, stage.town, street.left, street.right
    grass = Material(TERRAIN, leaf_color(rng, town), "grass", tinted(rng, 0.1, 0.4, 120), 0.8, (5.0, 5.0), ground=True)
    gray, joint = scaled(town.paving_color, rng.uniform(0.85, 1.15)), scaled(town.paving_color, 0.75)
    paved = Material(SIDEWALK, gray, town.paving, joint, 0.45, (3.0, 3.0), ground=True)
    gray, texture = scaled(town.asphalt_color, rng.uniform(0.8, 1.2)), rng.choices(("asphalt", "cobbles"), (88, 12))[0]
    road = Material(ROAD, gray, texture, scaled(gray, 0.7), tile=(5.0, 5.0), ground=True)
    for side in (left, right):
        wide = side.sign * HORIZON_M
        half = [(0.0, 0.0, 0.2), (wide, 0.0, 0.2), (wide, 0.0, HORIZON_M), (0.0, 0.0, HORIZON_M)]
        stage.canvas.polygon(half, rng.choices((grass, paved), (6, 4))[0], _GROUND)
    _strip(stage, left.kerb, right.kerb, road)
    if street.has_tracks:
        _strip(stage, left.kerb, left.kerb + TRACK_M, rng.choice((road, grass))._replace(label=RAIL_TRACK))
        for x in (left.kerb + 0.9, left.kerb + 2.35):
            _strip(stage, x, x + 0.08, Material(RAIL_TRACK, (120, 118, 115), ground=True))
    for side in (left, right):
        label, texture = rng.choices((PARKING, ROAD), (4, 6))[0], rng.choices(("cobbles", road.texture), (4, 6))[0]
        bay = road._replace(label=label, texture=texture, color=scaled(road.color, rng.uniform(0.9, 1.2)))
        kerb = Material(SIDEWALK, tinted(rng, 0.1, 0.05, rng.uniform(105, 165)), "concrete", ground=True)
        _strip(stage, side.kerb, side.edge, bay)
        _strip(stage, side.edge, side.walk_from, grass)
        _strip(stage, side.walk_from, side.walk_to, paved)
        _strip(stage, side.edge, side.edge + side.sign * 0.2, kerb)
        _strip(stage, side.walk_to, side.front, rng.choices((grass, paved), (3, 1))[0])
    for z in _some(rng, range(6), 4, 40):
        # Patches and covers: road of another colour.
        x, patch = rng.uniform(left.kerb, right.kerb - 1.5), scaled(road.color, rng.uniform(0.65, 1.25))
        look = road._replace(color=patch, texture="concrete")
        _strip(stage, x, x + rng.uniform(0.5, 1.5), look, z, z + rng.uniform(0.6, 6))


def _paint(stage: Stage, wear: float) -> Material:
    return Material(ROAD, scaled(stage.town.marking_color, wear), "concrete", ground=True)


def _markings(stage: Stage, street: Street) -> None:
    """Lines along the lanes: solid ones at the edges and sometimes between the directions, else dashes."""
    rng, (first, *_, last) = stage.rng, range(street.lanes.start, street.lanes.stop + 1)
    paint, period_m = _paint(stage, rng.uniform(0.75, 1.0)), 9 if last > 1 else 6
    for lane in range(first, last + 1) if rng.random() < 0.88 else ():
        inwards = 0.4 if lane == first else -0.4 if lane == last else 0
        x = street.shift + LANE_M * (lane - 0.5) + inwards
        if rng.random() < (0.4 if inwards else 0.25 if lane == 0 else 0):
            _strip(stage, x - 0.07, x + 0.07, paint, far=90)
        elif not inwards:
            for z in _spaced(rng, 0.4, 90, (period_m, period_m)):
                _strip(stage, x - 0.07, x + 0.07, paint, z, z + 3)


def _crossing(stage: Stage, street: Street) -> float:
    """A stop line, often with a zebra, lights and people; returns its z."""
    rng, left, right = stage.rng, street.left, street.right
    z, paint = rng.uniform(9, 45), _paint(stage, 0.95)
    if rng.random() < 0.7:
        for i in range(int(right.kerb - left.kerb - 0.5)):
            _strip(stage, left.kerb + 0.4 + i, left.kerb + 0.9 + i, paint, z, z + 3.2)
    _strip(stage, min(0.0, right.kerb - 3), right.kerb, paint, z - 1.6, z - 1.2)
    if rng.random() < 0.75:
        for side in (left, right):
            stage.later(z - 0.5, furniture.traffic_light, side.edge + side.sign * 0.5, z - 0.5, -side.sign)
    for person_z in _some(rng, (0, 1, 2, 4), z + 0.3, z + 2.8):
        stage.later(person_z, people.person, rng.uniform(left.walk_from, right.walk_from), person_z)
    return z


def _line(stage: Stage, side: Side) -> None:
    """Blocks along the street: rows of houses or garages, walls, fences, parks, hedges and gaps."""
    rng, x, sign = stage.rng, side.front, side.sign
    far = rng.uniform(-12, 4)
    while far < END_M:
        kind = rng.choices(("houses", "wall", "fence", "park", "gap"), stage.town.block_weights)[0]
        near, far = max(far, 0.5), far + (rng.uniform(10, 40) if kind == "houses" else rng.uniform(7, 28))
        if far < 1.5:
            continue
        if kind == "houses" and rng.random() < 0.88:
            # Houses of about the same height side by side.
            height, start = rng.choice((6.0, 9.0, 13.0, 17.0, 22.0)), near
            while start < far - 4:
                end, house_m = min(far, start + rng.uniform(7, 18)), height * rng.uniform(0.85, 1.15)
                stage.later(end, buildings.house, x, start, end, house_m, sign * rng.uniform(9, 14))
                start = end
        elif kind == "houses":
            stage.later(far, buildings.garage, x, near, far, sign * 6)
        elif kind == "wall":
            stage.later(far, buildings.wall, x, near, far, sign * 0.35)
        elif kind == "fence":
            stage.later(far, buildings.fence, x, near, far)
        elif kind == "park":
            plants.thicket(stage, x + sign, near, far, sign * rng.uniform(8, 20))
        elif rng.random() < 0.5:
            stage.later(far, plants.hedge, x, near, far, rng.uniform(0.8, 2.2), sign * 1.0)
        # What is low lets see what is behind it.
        lot = rng.random() if kind in ("wall", "fence", "gap") else 1
        if lot < 0.5:
            plants.thicket(stage, x + sign * 3, near, far, sign * rng.uniform(6, 14))
        elif lot < 0.8:
            behind, house_m = x + sign * rng.uniform(8, 16), rng.uniform(6, 20)
            stage.later(far, buildings.house, behind, near, far, house_m, sign * 10)


def _furnish(stage: Stage, side: Side) -> None:
    """What stands along one kerb: lamps, signs, bins, trees, bollards, cycles, people and parked cars."""
    rng, sign, town = stage.rng, side.sign, stage.town
    x = side.edge + sign * 0.45
    spacing = rng.uniform(18, 35)
    for z in _spaced(rng, 2, 130, (spacing, spacing)):
        stage.later(z, furniture.lamp, x, z, -sign)
    for z in _some(rng, (1, 2, 3, 4), 5, 70):
        stage.later(z, furniture.sign, x + sign * rng.uniform(0, 0.4), z)
    for z in _some(rng, (0, 0, 1, 2), 6, 60):
        stage.later(z, furniture.clutter, side.walk_to - sign * 0.5, z)
    spacing, height = rng.uniform(6, 13), rng.uniform(5, 12)
    for z in _spaced(rng, 3, 120 if rng.random() < town.tree_share else 0, (spacing, 1.8 * spacing)):
        stage.later(z, plants.tree, x + sign * rng.uniform(0.2, 0.8), z, height * rng.uniform(0.8, 1.2))
    for start in _some(rng, (0, 0, 0, 0, 1), 4, 30):
        for z in _spaced(rng, start, start + rng.uniform(6, 20), (2.2, 2.2)):
            stage.later(z, furniture.bollard, x - sign * 0.1, z)
    for start in _some(rng, (0, 0, 0, 1, 1), 6, 40):
        turn, motor = rng.choice((0.3, 1.2, 1.57)) + rng.gauss(0, 0.05), rng.random() < 0.35
        for i in range(1 if motor else rng.randint(1, 7)):
            z = start + 0.7 * i
            stage.later(z, people.cycle, x + sign * 0.3, z, turn, motor=motor, ridden=False)
    for _ in range(rng.choice((0, 1, 3, 5, 8)) if side.walk_from != side.walk_to else 0):
        group_z = 5 + 70 * rng.random() ** 1.7
        for z in _some(rng, (1, 1, 2, 3), group_z - 0.5, group_z + 1):
            stage.later(z, people.person, rng.uniform(side.walk_from, side.walk_to), z)
    for z in _spaced(rng, 4, 110 if side.edge != side.kerb else 0, (5.4, 7.5)):
        if rng.random() < 0.75:
            turn, bay = rng.choice((0.0, pi)) + rng.gauss(0, 0.03), side.kerb + sign * BAY_M / 2
            stage.later(z + 0.3, vehicles.vehicle, bay, z, vehicles.car(rng), turn)


def _traffic(stage: Stage, street: Street, crossing: float | None) -> None:
    """What drives in the lanes, along the kerbs and on the rails; cars keep a crossing free."""
    rng = stage.rng
    gap_m = (2, 6) if rng.random() < 0.25 else (6, 50)
    for lane in street.lanes:
        z = rng.uniform(9 if lane == 0 else 6, 30)
        while z < 140:
            bodies = rng.choices((vehicles.car, vehicles.truck, vehicles.bus), (86, 8, 6))[0](rng)
            half_m = sum(body.length_m for body in bodies) / 2
            z += half_m
            if crossing is None or not crossing - half_m - 1 < z < crossing + half_m + 4:
                x, turn = street.shift + LANE_M * lane + rng.gauss(0, 0.2), pi if lane < 0 else 0.0
                at = z if lane else z + stage.ahead_m
                stage.later(at + 0.3, vehicles.vehicle, x, at, bodies, turn + rng.gauss(0, 0.02))
            z += half_m + rng.uniform(*gap_m)
    for z in _some(rng, (0, 0, 1, 1, 2), 6, 45):
        side = rng.choice((street.left, street.right))
        turn = (0.0 if side.sign > 0 else pi) + rng.gauss(0, 0.15)
        stage.later(z, people.cycle, side.kerb - side.sign * 0.9, z, turn, motor=rng.random() < 0.25)
    if crossing is None and rng.random() < 0.08:
        z, turn = rng.uniform(8, 30), rng.choice((1.4, -1.4))
        stage.later(z, people.cycle, rng.uniform(-2, 2), z, turn, motor=rng.random() < 0.3)
    if street.has_tracks and rng.random() < 0.5:
        z = rng.uniform(22, 70)
        stage.later(z, vehicles.vehicle, street.left.kerb + 1.65, z, vehicles.tram(rng), pi)
