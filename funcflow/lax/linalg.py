"""Linear algebra, as `lax.linalg`: decompositions and solutions of stacks of matrices."""

from funcflow.lax.cholesky import cholesky as cholesky
from funcflow.lax.cholesky import cholesky_p as cholesky_p
from funcflow.lax.eig import eig as eig
from funcflow.lax.eig import eig_p as eig_p
from funcflow.lax.eigh import eigh as eigh
from funcflow.lax.eigh import eigh_p as eigh_p
from funcflow.lax.eigh import eigvalsh as eigvalsh
from funcflow.lax.linear_solve import factored_solve_p as factored_solve_p
from funcflow.lax.linear_solve import solve as solve
from funcflow.lax.lu import lu as lu
from funcflow.lax.lu import lu_p as lu_p
from funcflow.lax.pivots import lu_pivots_to_permutation as lu_pivots_to_permutation
from funcflow.lax.pivots import lu_pivots_to_permutation_p as lu_pivots_to_permutation_p
from funcflow.lax.qr import qr as qr
from funcflow.lax.qr import qr_p as qr_p
from funcflow.lax.svd import svd as svd
from funcflow.lax.svd import svd_p as svd_p
from funcflow.lax.triangular import triangular_solve as triangular_solve
from funcflow.lax.triangular import triangular_solve_p as triangular_solve_p
