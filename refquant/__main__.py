from refquant.cli import main

raise SystemExit(main())
