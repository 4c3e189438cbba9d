"""Figure 4 on the network of the paper's section 6: six layers, five features, 240 inputs. Variants of figure4.py."""

import dataclasses
import runpy
from pathlib import Path

from smooth_recs.experiments import sweeps


def get_sweep() -> sweeps.Sweep:
    figure4: sweeps.Sweep = runpy.run_path(str(Path(__file__).with_name("figure4.py")))["get_sweep"]()
    return dataclasses.replace(figure4, config=sweeps.config_of(Path(__file__).parents[1] / "toy_ctr.py"))
