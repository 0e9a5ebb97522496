"""The one way in which any kind of work runs: stages, their work folders, leases, what ranks leave on disk, and
`hormesis status`. Imports every other room of this floor but `infra.jobs`.
"""
