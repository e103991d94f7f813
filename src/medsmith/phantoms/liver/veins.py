"""Hepatic and portal veins: two trees that fill the liver and keep apart.

Large veins follow the courses of anatomy; side branches grow towards points spread over the liver and bend away from
the branch that they leave. Radii follow Murray's law (Proc Natl Acad Sci 1926): the sum of radius^3 is conserved.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import numpy as np
from jaxtyping import Float64, Int64

from medsmith.phantoms.liver.courses import Course
from medsmith.phantoms.liver.organ import Probe
from medsmith.phantoms.solids import Tubes, smooth_curve
from medsmith.phantoms.space import Point, Points, Warp

Radii = Float64[np.ndarray, " n"]

STEP_MM = 5.0
"""Length of the straight pieces of a vein."""
LEAF_MM = {"hepatic": 1.55, "portal": 1.4}
"""Radius of the thinnest branches."""
MURRAY = 3.0
APART_MM = 5.0
"""Distance kept between the walls of hepatic and portal veins, at points some 2.5 mm apart.

In between they come somewhat nearer, but not as near as the diagonal of a voxel of 2 x 2 x 3 mm (4.1 mm).
"""
SIDE_MM = 2.5
"""Largest radius of a side branch."""
DEPTH_MM = {"large": 6.0, "side": 3.5}
"""Least depth of a vein's axis below the surface of the liver; large veins are moved there."""
SHALLOW_MM = 1.0
"""Depth at which a large vein that could not be moved ends."""
JITTER_MM = 3.0
"""Standard deviation of the control points of large veins."""
REACH_MM = 46.0
"""Longest side branch."""
TRUNK_NODES = 9
"""Nodes by which the trunk of a large vein is recognized."""
TRIES = 6
"""Parents that are tried for a side branch, in order of their cost."""


@final
@dataclass(frozen=True, eq=False)
class Obstacles:
    """Balls that a branch keeps away from.

    Attributes:
        centers: patient mm.
        radii: in mm, with the distance that is kept.
    """

    centers: Points
    radii: Radii

    def free(self, points: Points) -> np.ndarray:
        """Which points lie outside all balls."""
        if not len(self.centers):
            return np.ones(len(points), np.bool_)
        reach = self.radii[:, None]
        near = ((self.centers > points.min(axis=0) - reach) & (self.centers < points.max(axis=0) + reach)).all(axis=1)
        squared = np.sum((points[:, None] - self.centers[near]) ** 2, axis=2)
        return np.asarray((squared > self.radii[near] ** 2).all(axis=1))

    def pushed(self, points: Points) -> Points:
        """The points, those in a ball moved to its surface."""
        for center, radius in zip(self.centers, self.radii, strict=True):
            lines = points - center
            lengths = np.sqrt(np.sum(lines * lines, axis=1, keepdims=True))
            points = center + lines * np.maximum(1.0, radius / np.maximum(lengths, 1e-6))
        return points

    def joined(self, other: "Obstacles") -> "Obstacles":
        """Both."""
        return Obstacles(np.concatenate([self.centers, other.centers]), np.concatenate([self.radii, other.radii]))


NO_OBSTACLES = Obstacles(np.empty((0, 3)), np.empty(0))


@final
@dataclass(frozen=True, eq=False)
class Tree:
    """A tree of veins in patient mm.

    Attributes:
        nodes: points of its axes.
        parents: index of the node before each; -1 at roots.
        radii: of the piece that ends at each node.
        large: number of nodes of large veins, which come first.
        roots: name of each large vein without a vein above -> index of its first node.
    """

    nodes: Points
    parents: Int64[np.ndarray, " n"]
    radii: Radii
    large: int
    roots: Mapping[str, int]

    def tubes(self) -> Tubes:
        """The walls of all pieces."""
        ends = np.flatnonzero(self.parents >= 0)
        above = self.parents[ends]
        first = np.minimum(self.radii[above], self.radii[ends] * 1.25)
        return Tubes(self.nodes[above], self.nodes[ends], np.stack([first, self.radii[ends]], axis=1))

    def axis_points(self, step_mm: float) -> tuple[Points, Radii]:
        """Points along all axes, at most this far apart, and the radius there."""
        tubes = self.tubes()
        count = max(1, int(np.ceil(1.5 * STEP_MM / step_mm)))
        shares = np.linspace(0, 1, count + 1)[None, :, None]
        points = tubes.starts[:, None] * (1 - shares) + tubes.ends[:, None] * shares
        radii = tubes.radii[:, :1] * (1 - shares[..., 0]) + tubes.radii[:, 1:] * shares[..., 0]
        return points.reshape(-1, 3), radii.ravel()

    def trunks(self) -> list[Points]:
        """Axis points of the first pieces of every large vein that is a root."""
        starts = sorted(self.roots.values())
        return [self.nodes[start + 1 : start + 1 + TRUNK_NODES] for start in starts]

    def obstacles(self, extra_mm: float) -> Obstacles:
        """Balls along its axes, larger than the veins by this much."""
        tubes = self.tubes()
        middle = Obstacles((tubes.starts + tubes.ends) / 2, tubes.radii.mean(axis=1) + extra_mm)
        return Obstacles(self.nodes, self.radii + extra_mm).joined(middle)


@final
@dataclass(eq=False)
class Growth:
    """A tree that grows.

    Attributes:
        nodes: points so far.
        parents: index of the node before each, -1 at roots.
        directions: unit vector of the piece that ends at each node.
        widest: largest radius at each node.
        large: number of nodes of large veins.
        roots: large vein without one above -> its first node.
    """

    nodes: list[Point] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    directions: list[Point] = field(default_factory=list)
    widest: list[float] = field(default_factory=list)
    large: int = 0
    roots: dict[str, int] = field(default_factory=dict)

    def add(self, point: Point, parent: int, widest: float = SIDE_MM) -> int:
        """A new node below a parent; its index."""
        line = point - self.nodes[parent] if parent >= 0 else np.zeros(3)
        self.nodes.append(point)
        self.parents.append(parent)
        self.widest.append(widest)
        self.directions.append(line / max(float(np.sqrt(np.sum(line * line))), 1e-6))
        return len(self.nodes) - 1

    def obstacles(self, extra_mm: float) -> Obstacles:
        """Balls around its nodes, larger than the veins can become by this much."""
        return Obstacles(np.array(self.nodes), np.array(self.widest) + extra_mm)

    def finished(self, leaf_mm: float) -> Tree:
        """The tree with its radii, from the ends up."""
        flow = np.zeros(len(self.nodes))
        for index in range(len(self.nodes) - 1, -1, -1):
            flow[index] = flow[index] or leaf_mm**MURRAY
            if self.parents[index] >= 0:
                flow[self.parents[index]] += flow[index]
        radii = np.minimum(flow ** (1 / MURRAY), self.widest)
        return Tree(np.array(self.nodes), np.array(self.parents), radii, self.large, self.roots)


def course_controls(
    courses: Mapping[str, Course], warp: Warp, rng: np.random.Generator, inside: Probe
) -> dict[str, Points]:
    """Control points of large veins with jitter, in patient mm; those outside the liver are moved into it."""
    controls = {}
    for name, course in courses.items():
        jitter = np.clip(rng.standard_normal((len(course.points), 3)), -1.6, 1.6) * JITTER_MM
        jitter[: 1 if not course.above else 0] = 0
        points = warp.back(np.array(course.points, np.float64) + jitter)
        points[course.fixed :] = inside.deepened(points[course.fixed :], DEPTH_MM["large"] + 2)
        controls[name] = points
    return controls


def fixed_parts(courses: Mapping[str, Course], controls: Mapping[str, Points]) -> Obstacles:
    """Balls around the beginnings of large veins, which tumors leave where they are."""
    parts = [
        smooth_curve(controls[name].tolist(), [1.0] * len(controls[name]), STEP_MM)[0][: 3 * course.fixed]
        for name, course in courses.items()
        if course.fixed
    ]
    centers = np.concatenate(parts)
    return Obstacles(centers, np.full(len(centers), max(course.widest for course in courses.values())))


def large_veins(
    courses: Mapping[str, Course], controls: Mapping[str, Points], inside: Probe, tumors: Obstacles, avoid: Obstacles
) -> Growth:
    """The large veins of one tree, bent around tumors.

    Args:
        courses: of the tree.
        controls: their points in patient mm.
        inside: distance to the liver's surface.
        tumors: balls that veins are moved out of.
        avoid: balls before which a vein ends, and with it its continuations.
    """
    growth, ends = Growth(), dict[str, int]()
    for name, course in courses.items():
        if course.above and course.above not in ends:
            continue
        points, above = controls[name], ends.get(course.above, -1)
        if above >= 0:
            points = np.concatenate([growth.nodes[above][None], points])
        curve = smooth_curve(points.tolist(), [1.0] * len(points), STEP_MM)[0]
        fixed = 1 + int(np.argmin(np.sum((curve - points[course.fixed - (above < 0)]) ** 2, axis=1)))
        curve[fixed:] = _bent_around(curve, fixed, tumors, inside)
        free = (inside.at(curve) < -SHALLOW_MM) & avoid.free(curve)
        free[:fixed] = True
        count = len(curve) if free.all() else int(np.argmin(free))
        parent = above if above >= 0 else growth.add(curve[0], -1, course.widest)
        if above < 0:
            growth.roots[name] = parent
        for point in curve[1:count]:
            parent = growth.add(point, parent, course.widest)
        if count == len(curve):
            ends[name] = parent
    growth.large = len(growth.nodes)
    return growth


def _bent_around(curve: Points, fixed: int, tumors: Obstacles, inside: Probe) -> Points:
    """The nodes of a curve after the fixed ones, out of tumors, below the liver's surface, and smooth."""
    curve = curve.copy()
    for _ in range(3):
        moved = tumors.pushed(inside.deepened(curve, DEPTH_MM["large"]))
        curve[fixed:] = moved[fixed:]
        curve[1:-1] = 0.25 * curve[:-2] + 0.5 * curve[1:-1] + 0.25 * curve[2:]
    return tumors.pushed(curve)[fixed:]


def spread_targets(rng: np.random.Generator, inside: Probe, count: int, gap_mm: float) -> Points:
    """Points in the liver, at least gap_mm apart, at most `count`."""
    low, high = inside.first, inside.last
    tries = low + rng.uniform(size=(30 * count, 3)) * (high - low)
    tries = tries[inside.at(tries) < -DEPTH_MM["side"] - 2]
    kept = np.empty((0, 3))
    for point in tries:
        if len(kept) == count:
            break
        if not len(kept) or np.min(np.sum((kept - point) ** 2, axis=1)) > gap_mm**2:
            kept = np.concatenate([kept, point[None]])
    return kept


def grow(growth: Growth, targets: Points, inside: Probe, avoid: Obstacles, rng: np.random.Generator) -> None:
    """Adds a side branch to every target that one can reach."""
    trunk = np.array(growth.nodes)
    order = np.argsort(np.min(np.sum((targets[:, None] - trunk[None]) ** 2, axis=2), axis=1))
    for target in targets[order]:
        curve, parent = _branch(growth, target, inside, avoid, rng)
        for point in curve:
            parent = growth.add(point, parent)


def _branch(
    growth: Growth, target: Point, inside: Probe, avoid: Obstacles, rng: np.random.Generator
) -> tuple[Points, int]:
    """The nodes of a branch to a target and the node that it leaves; no nodes if none is free."""
    nodes, directions = np.array(growth.nodes), np.array(growth.directions)
    lines = target - nodes
    gaps = np.sqrt(np.sum(lines * lines, axis=1))
    cosines = np.sum(lines * directions, axis=1) / np.maximum(gaps, 1e-6)
    # Branches leave at an acute angle: a way back along the parent costs more than twice as much.
    costs = gaps * (1.8 - cosines)
    bend = rng.normal(size=3) * 0.08
    for parent in np.argsort(costs)[:TRIES].tolist():
        if gaps[parent] > REACH_MM:
            continue
        curve = _bent(nodes[parent], directions[parent], target, bend)
        if (inside.at(curve) < -DEPTH_MM["side"]).all() and avoid.free(curve).all():
            return curve[1:], parent
    return nodes[:0], -1


def _bent(start: Point, direction: Point, end: Point, bend: Point) -> Points:
    """A quadratic Bezier curve that leaves along a direction in part."""
    line = end - start
    length = float(np.sqrt(np.sum(line * line)))
    middle = start + 0.25 * line + 0.28 * length * direction + length * bend
    t = np.linspace(0, 1, max(3, int(np.ceil(length / STEP_MM)) + 1))[:, None]
    curve: Points = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
    return curve
