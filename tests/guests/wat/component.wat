;; An empty component: another binary format version, for another kind of host.
(component)
