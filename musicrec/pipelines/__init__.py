"""One plain function a job: tables in, tables out."""
