"""Where jobs run: each runner takes lists of jobs, and gives lists of results in any order."""
