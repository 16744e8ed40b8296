"""One scene's camera: MuJoCo draws what is seen from a pose. The only file that touches MuJoCo and OpenGL."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenes.cameras import camera_axes
from scenes.mjcf import Blueprint
from world.errors import RenderError, SceneError
from world.questions import THINGS
from world.types import Frame, Pose, Sight

CAMERA = "eye"  # what it is called in a model
_SUPERSAMPLE = 2  # each pixel is the mean of 2 x 2, so that edges of shadows are smooth as well
_NO_PACKAGE = 'the simulator needs MuJoCo: pip install "mujoco>=3.2"'
_NEAREST = 0.04  # m, what is nearer than this is not drawn
_NO_GL = "the simulator cannot draw: {}; on Linux unset MUJOCO_GL and apt-get install libegl1 libgl1-mesa-dri"


class OpenGL:
    """MuJoCo and an offscreen OpenGL context that is current only while something is drawn, in whatever thread."""

    def __init__(self) -> None:
        """Raises RenderError where MuJoCo or OpenGL is missing. Uses EGL where $MUJOCO_GL names nothing else."""
        self.mujoco = _import_mujoco()
        context = getattr(self.mujoco, "GLContext", None)
        if context is None:
            raise RenderError(_NO_GL.format("MuJoCo has no OpenGL backend here"))
        try:
            self._context: Any = context(16, 16)
        except (ImportError, RuntimeError, AttributeError) as error:
            raise RenderError(_NO_GL.format(error)) from error

    def run(self, draw: Callable[[], Any]) -> Any:
        """Calls `draw` with the context current, and lets go of the context."""
        self._context.make_current()
        try:
            return draw()
        finally:
            self._release()

    def free(self) -> None:
        """Gives the context back; may be called twice."""
        self._context.free()

    def _release(self) -> None:
        if os.environ.get("MUJOCO_GL") != "egl":
            return  # the other backends are used from one thread
        from mujoco import egl

        egl.EGL.eglMakeCurrent(egl.EGL_DISPLAY, egl.EGL.EGL_NO_SURFACE, egl.EGL.EGL_NO_SURFACE, egl.EGL.EGL_NO_CONTEXT)


class Eye:
    """Draws one scene. All methods are called through `OpenGL.run`. Raises RenderError where it cannot draw."""

    def __init__(self, mujoco: ModuleType, blueprint: Blueprint, size: int) -> None:
        self._mujoco, self._size = mujoco, size
        self._model: Any = _compile(mujoco, blueprint)
        side = size * _SUPERSAMPLE
        self._model.vis.global_.offwidth = self._model.vis.global_.offheight = side
        self._state: Any = mujoco.MjData(self._model)
        mujoco.mj_forward(self._model, self._state)
        self._scene = mujoco.MjvScene(self._model, maxgeom=self._model.ngeom + 8)
        self._option, self._camera = mujoco.MjvOption(), mujoco.MjvCamera()
        self._number = self._model.camera(CAMERA).id
        self._camera.type, self._camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED.value, self._number
        try:
            self._context = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_50.value)
        except mujoco.FatalError as error:
            raise RenderError(_NO_GL.format(error)) from error
        self._rect = mujoco.MjrRect(0, 0, side, side)
        self._pixels = np.empty((side, side, 3), np.uint8)
        self._objects = self._find_objects()
        named = (self._model.geom(i).name.rpartition(" ")[0] for i in range(self._model.ngeom))
        self._names = [name if name in THINGS else "" for name in named]
        self._shown = ""

    def see(self, pose: Pose, *, fov: float, height: float, thing: str) -> Frame:
        """The frame, uint8 [size, size, 3]. `thing` names the object that is there, where the scene has several."""
        self._look(pose, fov, height, thing)
        self._draw()
        return _shrink(self._pixels[::-1])

    def sights(self, pose: Pose, *, fov: float, height: float, thing: str) -> dict[str, Sight]:
        """The named things that are seen, by name."""
        self._look(pose, fov, height, thing)
        flags, kinds = self._scene.flags, self._mujoco.mjtRndFlag
        flags[kinds.mjRND_SEGMENT] = flags[kinds.mjRND_IDCOLOR] = 1
        try:
            self._draw()
        finally:
            flags[kinds.mjRND_SEGMENT] = flags[kinds.mjRND_IDCOLOR] = 0
        return self._sights(self._pixels.astype(np.int64) @ (1, 256, 65536) - 1, pose)

    def free(self) -> None:
        """Gives back what lies in OpenGL."""
        self._context.free()

    def _look(self, pose: Pose, fov: float, height: float, thing: str) -> None:
        """Puts the camera there, and the object on its place."""
        mujoco, state = self._mujoco, self._state
        if self._objects:
            self._turn_object(thing, pose.object_yaw)
        self._model.cam_fovy[self._number] = fov
        state.cam_xpos[self._number] = (pose.x, pose.y, height)
        state.cam_xmat[self._number] = camera_axes(pose).ravel()
        mujoco.mjv_updateScene(
            self._model, state, self._option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
        )

    def _draw(self) -> None:
        """Draws what the camera sees into `_pixels`, the lowest row first."""
        mujoco = self._mujoco
        mujoco.mjr_setBuffer(
            mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context
        )  # another eye may have drawn since
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(self._pixels, None, self._rect, self._context)

    def _sights(self, numbers: NDArray[np.int64], pose: Pose) -> dict[str, Sight]:
        """From the number of the drawn shape in each pixel, [H, W], -1 where there is none."""
        found: dict[str, list[tuple[int, float, float]]] = defaultdict(list)  # pixels, sum of columns, distance
        counts = np.bincount(numbers[numbers >= 0])
        columns = np.broadcast_to((np.arange(numbers.shape[1]) + 0.5) / numbers.shape[1], numbers.shape)
        sums = np.bincount(numbers[numbers >= 0], columns[numbers >= 0])
        for number in np.flatnonzero(counts[: self._scene.ngeom]):  # some drivers blend numbers at edges
            shape = self._scene.geoms[number]
            if shape.objtype == self._mujoco.mjtObj.mjOBJ_GEOM and (name := self._names[shape.objid]):
                away = float(np.hypot(*(self._state.geom_xpos[shape.objid][:2] - (pose.x, pose.y))))
                found[name].append((int(counts[number]), float(sums[number]), away))
        return {
            name: Sight(
                sum(n for n, _, _ in parts) / numbers.size,
                sum(s for _, s, _ in parts) / sum(n for n, _, _ in parts),
                min(d for _, _, d in parts),
            )
            for name, parts in found.items()
        }

    def _find_objects(self) -> dict[str, slice]:
        """The geoms of each body that stands on the body "object"."""
        model, mujoco = self._model, self._mujoco
        stand = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, "object")
        bodies = [model.body(i) for i in range(model.nbody) if stand > 0 and model.body_parentid[i] == stand]
        return {b.name: slice(int(b.geomadr[0]), int(b.geomadr[0] + b.geomnum[0])) for b in bodies}

    def _turn_object(self, thing: str, yaw: float) -> None:
        half = np.radians(yaw) / 2
        self._state.mocap_quat[0] = (np.cos(half), 0, 0, np.sin(half))
        self._mujoco.mj_kinematics(self._model, self._state)
        if thing != self._shown:
            for name, geoms in self._objects.items():
                self._model.geom_group[geoms] = 0 if name == thing else 5  # MuJoCo hides groups 3 to 5
            self._shown = thing


@dataclass(frozen=True)
class Block:
    """What one geom fills: a box around `center` (m), half sizes along its own axes, the columns of `axes`."""

    center: NDArray[np.float64]
    axes: NDArray[np.float64]
    half: NDArray[np.float64]  # inf where a plane has no end


def blocks_of(blueprint: Blueprint) -> list[Block]:
    """The boxes around all geoms of a model, as it stands at the beginning. Raises SceneError where it is none."""
    mujoco = _import_mujoco()
    model = _compile(mujoco, blueprint)
    state = mujoco.MjData(model)
    mujoco.mj_forward(model, state)
    found = []
    for i in range(model.ngeom):
        axes = state.geom_xmat[i].reshape(3, 3)
        middle, half = model.geom_aabb[i, :3], model.geom_aabb[i, 3:]
        if model.geom_type[i] == mujoco.mjtGeom.mjGEOM_PLANE:
            x, y = (size or np.inf for size in model.geom_size[i, :2])
            middle, half = np.zeros(3), np.array([x, y, 0.0])
        found.append(Block(state.geom_xpos[i] + axes @ middle, axes.copy(), np.array(half)))
    return found


def _compile(mujoco: ModuleType, blueprint: Blueprint) -> Any:
    if blueprint.file is None:
        return mujoco.MjModel.from_xml_string(blueprint.xml, dict(blueprint.assets))
    try:
        spec = mujoco.MjSpec.from_file(str(blueprint.file))
        if all(camera.name != CAMERA for camera in spec.cameras):
            spec.worldbody.add_camera(name=CAMERA)
        model = spec.compile()
    except (ValueError, OSError, mujoco.FatalError) as error:
        raise SceneError(f"{blueprint.file} is no model that MuJoCo reads: {error}") from None
    model.vis.map.znear = min(model.vis.map.znear, _NEAREST / model.stat.extent)
    return model


def _import_mujoco() -> ModuleType:
    if sys.platform == "linux":
        os.environ.setdefault("MUJOCO_GL", "egl")  # read by MuJoCo when it is imported
    try:
        import mujoco
    except ModuleNotFoundError as error:
        raise RenderError(_NO_PACKAGE) from error
    except (ImportError, AttributeError, OSError, RuntimeError) as error:  # no libEGL, or an unknown $MUJOCO_GL
        raise RenderError(_NO_GL.format(error)) from error
    return mujoco


def _shrink(pixels: Frame) -> Frame:
    """The mean of each 2 x 2 pixels."""
    total = pixels[::2, ::2].astype(np.uint16)
    total += pixels[1::2, ::2]
    total += pixels[::2, 1::2]
    total += pixels[1::2, 1::2]
    total += 2
    total >>= 2
    return total.astype(np.uint8)
