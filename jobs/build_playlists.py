"""Make each listener's playlists of the week.

SPARK_CONF_DIR=conf spark-submit jobs/build_playlists.py --config conf/local.toml [--as-of DATE] [--set key=value ...]
"""

from musicrec.entry import job_command

main = job_command("build_playlists")

if __name__ == "__main__":
    main()
