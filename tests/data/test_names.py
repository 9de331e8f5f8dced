from bmenet.data.names import dataset_of, full_id, label_of


def test_an_id_tells_its_data_set_and_its_label():
    assert full_id("ixi", "IXI276-HH-1840") == "ixi_IXI276-HH-1840"
    assert dataset_of("ixi_IXI276-HH-1840") == "ixi"
    assert label_of("ixi_IXI276-HH-1840") == "IXI276-HH-1840"


def test_an_id_without_a_data_set_is_a_label():
    assert dataset_of("sub-01") == ""
    assert label_of("sub-01") == "sub-01"
