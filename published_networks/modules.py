"""A search space of whole modules: for whoever has factories of `torch.nn.Module`s and wants them in the tables.

docs/search-spaces.md shows it in five lines; the space `published` is one.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from latency_tables.client import LutClient
from latency_tables.contract import (
    DeviceSelector,
    Effort,
    JobRequest,
    LatencyTable,
    NetworkSpec,
    OperationSpec,
    Runtime,
    Scalar,
    sha256,
)
from latency_tables.spaces import require_definition

Shape = tuple[int, ...]


class ModuleSpace:
    """Every operation is one factory's module at one input shape; its row is the whole module.

    `factories`: name of the operation → what makes its module from the operation's params. `sources`: the files whose
    text defines the modules; when one changes, the space is another, and what was measured of it no longer counts.
    `requirement`: what pip installs on an agent that lacks the space.
    """

    def __init__(
        self,
        name: str,
        factories: Mapping[str, Callable[..., nn.Module]],
        *sources: str | Path,
        requirement: str | None = None,
    ) -> None:
        self.name = name
        self.digest = sha256("\0".join(Path(source).read_text("utf-8") for source in sources))
        self.requirement = requirement or name
        self._factories = factories

    def operation(self, name: str, *input_shapes: Shape, **params: Scalar) -> OperationSpec:
        """The key of a factory's module: `input_shapes` without the batch dimension, one for each input.

        Raises ValueError for a name without factory.
        """
        if name not in self._factories:
            raise ValueError(f"name: {name!r} is not in space {self.name!r}; it has {', '.join(self._factories)}")
        return OperationSpec.model_validate(
            {
                "space": self.name,
                "space_digest": self.digest,
                "name": name,
                "input_shapes": input_shapes,
                "params": params,
            }
        )

    def network(self, operation: OperationSpec) -> NetworkSpec:
        """The network that consists of one operation, for measuring it end to end."""
        genotype = {"operation": operation.model_dump(mode="json")}
        return NetworkSpec.of(self.name, self.digest, genotype, operation.input_shapes[0], {operation: 1})

    def build_operation(self, spec: OperationSpec) -> nn.Module:
        """The module in evaluation mode, equal weights for equal specs, BatchNorm folded where it can be.

        A factory that does not want its BatchNorms folded returns a module with `keep_batch_norm = True`. Raises
        ValueError for a spec that is not of this definition of the space, and what the factory raises.
        """
        self._check(spec)
        if spec.name not in self._factories:
            raise ValueError(f"name: {spec.name!r} is not in space {self.name!r}")
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            module = self._factories[spec.name](**dict(spec.params)).eval().requires_grad_(False)
        return module if getattr(module, "keep_batch_norm", False) else fold(module)

    def build_network(self, spec: NetworkSpec) -> nn.Module:
        """As `build_operation`; ValueError for a spec that `network` did not make."""
        self._check(spec)
        genotype = json.loads(spec.genotype)
        try:
            operation = OperationSpec.model_validate(genotype["operation"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"genotype: no operation of space {self.name!r} ({error}); make it with network"
            ) from error
        if self.network(operation) != spec:
            raise ValueError("operations: not the one of the genotype; make the spec with network")
        return self.build_operation(operation)

    def request(
        self, operations: Sequence[OperationSpec], device: str, runtime: Runtime, effort: Effort | None = None
    ) -> JobRequest:
        """The job that measures operations, on the device of this UUID."""
        return JobRequest(
            device=DeviceSelector(uuid=device),
            runtime=runtime,
            space=self.name,
            space_digest=self.digest,
            requirement=self.requirement,
            operations=tuple(operations),
            effort=effort or Effort(),
        )

    def profile(
        self, client: LutClient, *operations: OperationSpec, device: str | None = None, runtime: Runtime | None = None
    ) -> LatencyTable:
        """Have an agent measure those operations that it has not measured yet; the table with their rows.

        `device`: its UUID; left out, the only one that the server knows. Without `runtime`: PyTorch in fp32, one image,
        on a CPU one thread. Raises ValueError where a device has to be named, and what the client raises: JobFailed
        with the agent's reason among it.
        """
        known = [record.device for record in client.devices() if device in (None, record.device.uuid)]
        if len(known) != 1:
            names = ", ".join(f"{record.device.name} ({record.device.uuid})" for record in client.devices())
            raise ValueError(f"device: {device!r} is not one device; give a UUID of {names or 'none yet'}")
        runtime = runtime or Runtime(threads=1 if known[0].kind == "cpu" else None)
        job = client.wait_for_job(client.submit_job(self.request(operations, known[0].uuid, runtime)).id)
        if job.table_id is None:
            raise ValueError(f"job {job.id} has no table; are server and client of one version?")
        return client.table(job.table_id)

    def _check(self, spec: OperationSpec | NetworkSpec) -> None:
        require_definition(spec, self.name, self.digest, self.requirement)


def fold(module: nn.Module) -> nn.Module:
    """Fold every BatchNorm that stands directly behind a convolution of the same Sequential, in place."""
    for part in list(module.modules()):
        if isinstance(part, nn.Sequential):
            for at in range(len(part) - 1, 0, -1):
                before, layer = part[at - 1], part[at]
                if isinstance(layer, nn.BatchNorm2d) and isinstance(before, (nn.Conv2d, nn.ConvTranspose2d)):
                    part[at - 1] = fuse_conv_bn_eval(before, layer, transpose=isinstance(before, nn.ConvTranspose2d))
                    del part[at]
    return module
