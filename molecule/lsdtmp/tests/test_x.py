def test_images(host, converge, name):
    print(host.check_output("docker images"))
    assert converge("--check").changed(name) == 0
    assert "longshore/debian" in host.check_output("docker images")
