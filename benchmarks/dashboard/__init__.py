"""What the dashboard is measured with: a local server over a seeded store, a browser that is signed in."""
