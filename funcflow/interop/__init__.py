"""Other libraries' functions on arrays of funcflow."""

from funcflow.interop.einops import register_einops as register_einops
