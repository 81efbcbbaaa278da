"""Where the job's identity token comes from: one file per CI platform."""
