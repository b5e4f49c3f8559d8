"""Agreement on one cut: a leaderless fast round, then classic rounds for as long as it takes."""
