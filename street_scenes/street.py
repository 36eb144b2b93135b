"""The layout of a street: ground from kerb to kerb, what lines it, and who is on it."""

from dataclasses import dataclass
from math import pi

from street_scenes import buildings, furniture, people, plants, vehicles
from street_scenes.camera import Point
from street_scenes.canvas import Material, Plane
from street_scenes.stage import Stage
from street_scenes.town import BLOCKS, hsv, scaled, tinted

ROAD, SIDEWALK, PARKING, RAIL_TRACK, TERRAIN = 7, 8, 9, 10, 22

LANE_M = 3.3
END_M = 150.0

_GROUND = Plane((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
_SAMPLES = (0.3, 2, 4, 6, 9, 13, 18, 25, 34, 46, 62, 84, 115, 160)


@dataclass
class Side:
    """One side of the street, from the road outwards; `sign` is -1 on the left. All x in metres."""

    sign: int
    kerb: float
    parking: bool
    walk_from: float
    walk_to: float
    front: float


def build(stage: Stage) -> None:
    """Lay out a street and paint it."""
    rng = stage.rng
    left_lanes, right_lanes = rng.choice(((1, 1), (1, 1), (1, 2), (2, 2), (0, 2), (1, 1)))
    shift = rng.uniform(-0.5, 0.5)
    kerbs = (shift - LANE_M * (left_lanes + 0.5), shift + LANE_M * (right_lanes - 0.5))
    tracks = rng.random() < stage.town.trams
    if tracks:
        kerbs = (kerbs[0] - 3.2, kerbs[1])
    sides = [_side(stage, -1, kerbs[0]), _side(stage, 1, kerbs[1])]
    _ground(stage, sides, tracks)
    _markings(stage, shift, left_lanes, right_lanes, kerbs, tracks)
    for side in sides:
        _line(stage, side)
        _furnish(stage, side)
    crossing = _crossing(stage, sides) if rng.random() < 0.4 else None
    _traffic(stage, shift, left_lanes, right_lanes, sides, tracks, crossing)
    _horizon(stage)
    if rng.random() < 0.03:
        buildings.bridge(stage, rng.uniform(25, 70), sides[0].front, sides[1].front)
    stage.paint()


def _side(stage: Stage, sign: int, kerb: float) -> Side:
    rng = stage.rng
    parking = rng.random() < stage.town.parking
    start = kerb + sign * (2.3 if parking else 0)
    verge = rng.uniform(0.8, 3) if rng.random() < 0.3 else 0.0
    walk = rng.uniform(1.8, 5.0) if rng.random() < 0.94 else 0.0
    garden = rng.uniform(1.5, 7) if rng.random() < 0.3 else 0.0
    walk_from = start + sign * verge
    walk_to = walk_from + sign * walk
    return Side(sign, kerb, parking, walk_from, walk_to, walk_to + sign * (garden + 0.05))


def _strip(stage: Stage, x: float, other: float, material: Material, near: float = 0.3, far: float = 160.0) -> None:
    """A band of ground along the street."""
    zs = [near, *(z for z in _SAMPLES if near < z < far), far]
    outline: list[Point] = [stage.at(x, 0, z) for z in zs] + [stage.at(other, 0, z) for z in reversed(zs)]
    stage.canvas.polygon(outline, stage.canvas.surface(material, _GROUND))


def _ground(stage: Stage, sides: list[Side], tracks: bool) -> None:
    rng, town = stage.rng, stage.town
    grass_color = hsv(town.leaf_hue - 0.03 + rng.gauss(0, 0.02), rng.uniform(0.25, 0.55), rng.uniform(85, 150))
    grass = Material(TERRAIN, grass_color, "grass", tinted(rng, 0.1, 0.4, 120), 0.8, (5.0, 5.0), ground=True)
    paved = Material(
        SIDEWALK,
        scaled(town.paving_color, rng.uniform(0.85, 1.15)),
        town.paving,
        scaled(town.paving_color, 0.75),
        0.45,
        (3.0, 3.0),
        ground=True,
    )
    asphalt = Material(
        ROAD, scaled(town.asphalt_color, rng.uniform(0.8, 1.2)), "asphalt", contrast=0.5, tile=(6.0, 6.0), ground=True
    )
    if rng.random() < 0.12:
        asphalt = asphalt._replace(texture="cobbles", second=scaled(asphalt.color, 0.7), tile=(4.0, 4.0))
    far = 2500.0
    for side in sides:
        wide = side.sign * far
        beyond = grass if rng.random() < 0.6 else paved
        half: list[Point] = [(0.0, 0.0, 0.2), (wide, 0.0, 0.2), (wide, 0.0, far), (0.0, 0.0, far)]
        stage.canvas.polygon(half, stage.canvas.surface(beyond, _GROUND))
    _strip(stage, sides[0].kerb, sides[1].kerb, asphalt)
    if tracks:
        bed = asphalt if rng.random() < 0.5 else grass
        _strip(stage, sides[0].kerb, sides[0].kerb + 3.2, bed._replace(label=RAIL_TRACK))
        for x in (0.9, 2.35):
            rail = Material(RAIL_TRACK, (120, 118, 115), ground=True)
            _strip(stage, sides[0].kerb + x, sides[0].kerb + x + 0.08, rail)
    for side in sides:
        start = side.kerb
        if side.parking:
            bay = asphalt._replace(
                label=PARKING if rng.random() < 0.4 else ROAD, color=scaled(asphalt.color, rng.uniform(0.9, 1.2))
            )
            if rng.random() < 0.4:
                bay = bay._replace(texture="cobbles", second=scaled(bay.color, 0.7), tile=(3.0, 3.0))
            start += side.sign * 2.3
            _strip(stage, side.kerb, start, bay)
        if abs(side.walk_from - start) > 0.1:
            _strip(stage, start, side.walk_from, grass)
        if abs(side.walk_to - side.walk_from) > 0.1:
            _strip(stage, side.walk_from, side.walk_to, paved)
            kerb = Material(SIDEWALK, tinted(rng, 0.1, 0.05, rng.uniform(105, 165)), "concrete", ground=True)
            _strip(stage, start, start + side.sign * 0.2, kerb)
        if abs(side.front - side.walk_to) > 0.3:
            _strip(stage, side.walk_to, side.front, grass if rng.random() < 0.75 else paved)
    for _ in range(rng.randrange(6)):
        # Patches and covers: road of another colour.
        z, x = rng.uniform(4, 40), rng.uniform(sides[0].kerb, sides[1].kerb - 1.5)
        patch = asphalt._replace(color=scaled(asphalt.color, rng.uniform(0.65, 1.25)), texture="concrete")
        _strip(stage, x, x + rng.uniform(0.5, 1.5), patch, z, z + rng.uniform(0.6, 6))


def _markings(
    stage: Stage, shift: float, left_lanes: int, right_lanes: int, kerbs: tuple[float, float], tracks: bool
) -> None:
    rng = stage.rng
    worn = rng.uniform(0.75, 1.0)
    white = Material(ROAD, scaled(stage.town.marking_color, worn), "concrete", contrast=0.5, ground=True)
    if rng.random() < 0.12:
        return
    for lane in range(-left_lanes, right_lanes + 1):
        x = shift + LANE_M * (lane - 0.5)
        if lane in (-left_lanes, right_lanes):
            if rng.random() < 0.4:
                inner = 0.35 if lane < 0 else -0.35
                _strip(stage, x + inner, x + inner + 0.14, white, far=90)
        elif lane == 0 and rng.random() < 0.25:
            _strip(stage, x - 0.07, x + 0.07, white, far=90)
        else:
            z = rng.uniform(-6, 0)
            while z < 90:
                if z + 3 > 0.4:
                    _strip(stage, x - 0.07, x + 0.07, white, max(z, 0.4), z + 3)
                z += 9 if right_lanes > 1 else 6
    if rng.random() < 0.2:
        z = rng.uniform(8, 30)
        _strip(stage, shift - 0.08, shift + 0.08, white, z, z + 3)
        tip: list[Point] = [
            stage.at(shift - 0.4, 0, z + 3),
            stage.at(shift + 0.4, 0, z + 3),
            stage.at(shift, 0, z + 4.5),
        ]
        stage.canvas.polygon(tip, stage.canvas.surface(white, _GROUND))
    if tracks:
        _strip(stage, kerbs[0] + 3.25, kerbs[0] + 3.4, white, far=90)


def _crossing(stage: Stage, sides: list[Side]) -> float:
    """A zebra with lights and people at z, returned."""
    rng = stage.rng
    z = rng.uniform(9, 45)
    white = Material(ROAD, scaled(stage.town.marking_color, 0.95), "concrete", contrast=0.5, ground=True)
    if rng.random() < 0.7:
        x = sides[0].kerb + 0.4
        while x < sides[1].kerb - 0.5:
            _strip(stage, x, x + 0.5, white, z, z + 3.2)
            x += 1.0
    _strip(stage, min(0.0, sides[1].kerb - 3), sides[1].kerb, white, z - 1.6, z - 1.2)
    if rng.random() < 0.75:
        for side in sides:
            furniture.traffic_light(stage, side.kerb + side.sign * (2.8 if side.parking else 0.5), z - 0.5, -side.sign)
    for _ in range(rng.choice((0, 1, 2, 4))):
        people.person(stage, rng.uniform(sides[0].walk_from, sides[1].walk_from), z + rng.uniform(0.3, 2.8))
    return z


def _line(stage: Stage, side: Side) -> None:
    """Blocks along the street: rows of houses, walls, fences, parks, gaps."""
    rng, sign = stage.rng, side.sign
    z = rng.uniform(-12, 4)
    while z < END_M:
        kind = rng.choices(BLOCKS, stage.town.blocks)[0]
        length = rng.uniform(10, 40) if kind == "building" else rng.uniform(7, 28)
        far, near = z + length, max(z, 0.5)
        x = side.front
        if far > 1.5:
            if kind == "building":
                _row(stage, x, z, far, sign)
            elif kind == "park":
                plants.thicket(stage, x + sign * 1, near, far, sign * rng.uniform(8, 20))
            elif kind == "wall":
                buildings.wall(stage, x, near, far, sign * 0.35)
                _behind(stage, x, near, far, sign)
            elif kind == "fence":
                buildings.fence(stage, x, near, far)
                _behind(stage, x, near, far, sign)
            elif rng.random() < 0.5:
                plants.hedge(stage, x, near, far, rng.uniform(0.8, 2.2), sign * 1.0)
                _behind(stage, x, near, far, sign)
        z = far


def _row(stage: Stage, x: float, near: float, far: float, sign: int) -> None:
    rng = stage.rng
    if rng.random() < 0.12:
        buildings.garage(stage, x, max(near, 0.5), far, sign * 6)
        _behind(stage, x + sign * 5, max(near, 0.5), far, sign)
        return
    height = rng.choice((6.0, 9.0, 13.0, 17.0, 22.0))
    while near < far - 4:
        end = min(far, near + rng.uniform(7, 18))
        if end > 1:
            buildings.house(stage, x, max(near, 0.5), end, height * rng.uniform(0.85, 1.15), sign * rng.uniform(9, 14))
        near = end


def _behind(stage: Stage, x: float, near: float, far: float, sign: int) -> None:
    rng = stage.rng
    kind = rng.random()
    if kind < 0.5:
        plants.thicket(stage, x + sign * 3, near, far, sign * rng.uniform(6, 14))
    elif kind < 0.8:
        buildings.house(stage, x + sign * rng.uniform(8, 16), near, far, rng.uniform(6, 20), sign * 10)


def _furnish(stage: Stage, side: Side) -> None:
    """Lamps, signs, trees, bollards, people and parked things along one kerb."""
    rng, sign = stage.rng, side.sign
    edge = side.kerb + sign * (2.3 if side.parking else 0) + sign * 0.45
    spacing, z = rng.uniform(18, 35), rng.uniform(2, 20)
    while z < 130:
        furniture.lamp(stage, edge, z, -sign)
        z += spacing
    for _ in range(rng.choice((1, 2, 3, 4))):
        furniture.sign(stage, edge + sign * rng.uniform(0, 0.4), rng.uniform(5, 70))
    if rng.random() < stage.town.trees:
        spacing, z = rng.uniform(7, 16), rng.uniform(3, 12)
        height = rng.uniform(5, 12)
        while z < 120:
            plants.tree(stage, edge + sign * rng.uniform(0.2, 0.8), z, height * rng.uniform(0.8, 1.2))
            z += spacing * rng.uniform(0.8, 1.4)
    if rng.random() < 0.2:
        z = rng.uniform(4, 30)
        furniture.bollards(stage, edge - sign * 0.1, z, z + rng.uniform(6, 20))
    if rng.random() < 0.05:
        furniture.guard_rail(stage, edge, 3, rng.uniform(20, 60))
    for _ in range(rng.choice((0, 0, 1, 2))):
        furniture.clutter(stage, side.walk_to - sign * 0.5, rng.uniform(6, 60))
    _walkers(stage, side)
    if rng.random() < 0.4:
        z, count = rng.uniform(6, 40), rng.randint(1, 7)
        turn = rng.choice((0.3, 1.2, 1.57))
        motor = rng.random() < 0.3
        for i in range(1 if motor else count):
            people.cycle(stage, edge + sign * 0.3, z + 0.7 * i, turn + rng.gauss(0, 0.1), motor=motor, ridden=False)


def _walkers(stage: Stage, side: Side) -> None:
    rng = stage.rng
    low, high = sorted((side.walk_from, side.walk_to))
    if high - low < 0.5:
        return
    for _ in range(rng.choice((0, 1, 3, 5, 8))):
        z = 5 + 70 * rng.random() ** 1.7
        for member in range(rng.choice((1, 1, 2, 3))):
            people.person(stage, rng.uniform(low, high), z + 0.4 * member + rng.uniform(-0.5, 0.5))


def _traffic(
    stage: Stage, shift: float, left: int, right: int, sides: list[Side], tracks: bool, crossing: float | None
) -> None:
    rng = stage.rng
    for side in sides:
        if side.parking:
            z = rng.uniform(2, 12)
            while z < 110:
                if rng.random() < 0.75:
                    bodies = vehicles.trailer(stage) if rng.random() < 0.03 else vehicles.car(stage)
                    turn = (0.0 if rng.random() < 0.5 else pi) + rng.gauss(0, 0.03)
                    vehicles.park(stage, bodies, side.kerb + side.sign * 1.15, z, turn)
                z += rng.uniform(5.4, 7.5)
    jam = rng.random() < 0.25
    for lane in range(-left, right):
        x = shift + LANE_M * lane
        oncoming = lane < 0
        z = rng.uniform(9, 30) if lane == 0 else rng.uniform(6, 30)
        while z < 140:
            bodies, length = _moving(stage)
            z += length / 2
            if crossing is None or not crossing - length / 2 - 1 < z < crossing + length / 2 + 4:
                vehicles.park(stage, bodies, x + rng.gauss(0, 0.2), z, (pi if oncoming else 0.0) + rng.gauss(0, 0.02))
            z += length / 2 + (rng.uniform(2, 6) if jam else rng.uniform(6, 50))
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        side = rng.choice(sides)
        turn = 0.0 if side.sign > 0 else pi
        z = rng.uniform(6, 45)
        people.cycle(stage, side.kerb - side.sign * 0.9, z, turn + rng.gauss(0, 0.15), motor=rng.random() < 0.2)
    if crossing is None and rng.random() < 0.08:
        people.cycle(stage, rng.uniform(-2, 2), rng.uniform(8, 30), rng.choice((1.4, -1.4)), motor=rng.random() < 0.3)
    if tracks and rng.random() < 0.5:
        vehicles.park(stage, vehicles.train(stage), sides[0].kerb + 1.65, rng.uniform(22, 70), pi)


def _moving(stage: Stage) -> tuple[list[vehicles.Body], float]:
    """What drives in a lane, with its length in metres."""
    kind = stage.rng.random()
    if kind < 0.86:
        bodies = vehicles.car(stage)
    elif kind < 0.94:
        bodies = vehicles.truck(stage)
    else:
        bodies = vehicles.bus(stage)
    return bodies, sum(body.length for body in bodies)


def _horizon(stage: Stage) -> None:
    """Trees and houses far off, so that the street does not end in the sky."""
    rng = stage.rng
    for _ in range(rng.randint(6, 14)):
        z, x = rng.uniform(160, 260), rng.uniform(-160, 160)
        if rng.random() < 0.5:
            plants.tree(stage, x, z, rng.uniform(8, 20))
        else:
            buildings.house(stage, x, z, z + 12, rng.uniform(8, 30), 14 if x > 0 else -14)
    plants.hedge(stage, -260, 262, 263, rng.uniform(5, 12), 520)
