"""``python -m larmlreco`` is ``larmlreco``."""

import sys

from larmlreco.cli.main import main

sys.exit(main())
