;; Imports that are no WASI: refused before anything runs.
(module
  (import "env" "launch" (func (param i32)))
  (import "env" "table" (table 1 funcref))
  (memory (export "memory") 1)
  (func (export "_start")))
