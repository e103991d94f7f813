"""Settings of methods with one network, which diffuses one state."""

from pydantic import BaseModel, ConfigDict, model_validator

from medsmith.diffusion import Sampling
from medsmith.methods.config import DiffusionConfig, Size, TrainingConfig, check_settings
from medsmith.networks import NetworkConfig


class OneNetworkConfig(BaseModel):
    """Base class of the configs of such methods.

    Attributes:
        size: grid of the network, voxels along each axis of space.
        network: its shape.
        diffusion: noise and prediction.
        training: of its only stage.
        sampling: default solver and steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: Size = (64, 64)
    network: NetworkConfig = NetworkConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    training: TrainingConfig = TrainingConfig()
    sampling: Sampling = Sampling()

    @model_validator(mode="after")
    def _fits_together(self) -> "OneNetworkConfig":
        check_settings(self.size, self.diffusion, self.training, self.sampling)
        return self
