"""Names of many regions and scripts, and the cities that their bearers call home."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[str, str]  # as it is written, and in the letters of a handle


@dataclass(frozen=True, slots=True)
class City:
    name: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Region:
    """`between` stands between the parts of a written name; `family_first` is the order of its parts."""

    given: tuple[Pair, ...]
    family: tuple[Pair, ...]
    cities: tuple[City, ...]
    family_first: bool = False
    between: str = " "


def _latin(names: str) -> tuple[Pair, ...]:
    return tuple((name, name) for name in names.split())


def _both(names: str) -> tuple[Pair, ...]:
    """`written/latin`, separated by spaces."""
    pairs = (name.split("/") for name in names.split())
    return tuple((written, latin) for written, latin in pairs)


REGIONS = (
    Region(
        _latin("Amelia Oliver Grace Callum Isla Rhys Freya Owen Maeve Declan Niamh Finn Eilidh Harvey Poppy Ewan"),
        _latin("Walker Hughes MacLeod Bennett Morgan Fraser Kelly Thornton Doyle Pritchard Marsh O'Sullivan Reid"),
        (City("Bristol", 51.45, -2.59), City("Glasgow", 55.86, -4.25), City("Galway", 53.27, -9.06)),
    ),
    Region(
        _latin("Jasmine Marcus Hannah Tyrell Dakota Ruby Elijah Savannah Caleb Imani Wyatt Delia Theo Maya Jonah"),
        _latin("Johnson Whitfield Carter Brooks Delgado Freeman Hayes Begay Coleman Lindgren Novak Pierce Yazzie"),
        (City("Portland", 45.52, -122.68), City("Chicago", 41.88, -87.63), City("Halifax", 44.65, -63.57)),
    ),
    Region(
        _latin("Camille Étienne Chloé Théo Manon Baptiste Inès Rémi Léa Gaspard Zoé Aurélien Noémie Loïc Margaux"),
        _latin(
            "Lefèvre Moreau Girard Bouchard Chevalier Tremblay Renaud Faure Dubois Perrin Gagnon Colin Marchand"
        ),
        (City("Lyon", 45.76, 4.84), City("Nantes", 47.22, -1.55), City("Montréal", 45.5, -73.57)),
    ),
    Region(
        _latin("Lucía Mateo Valentina Joaquín Sofía Andrés Ximena Iñaki Martina Ramón Elena Nicolás Renata Álvaro"),
        _latin("García Núñez Morales Ibáñez Castillo Rojas Peña Herrera Vargas Quispe Mendoza Ortega Salazar"),
        (City("Sevilla", 37.39, -5.98), City("Oaxaca", 17.07, -96.72), City("Valparaíso", -33.05, -71.61)),
    ),
    Region(
        _latin("João Beatriz Thiago Inês Rafael Larissa Caetano Mariana Vitória Davi Luana Tomás Conceição Bento"),
        _latin("Silva Carvalho Gonçalves Araújo Teixeira Monteiro Assunção Figueira Pinheiro Nascimento Lobo"),
        (City("Porto", 41.15, -8.61), City("Recife", -8.05, -34.88), City("Maputo", -25.97, 32.58)),
    ),
    Region(
        _latin("Lena Jonas Friederike Matthias Käthe Jürgen Annika Lukas Greta Björn Mareike Felix Jördis Emil"),
        _latin("Schäfer Vogel Brandt Hoffmann Krüger Lindner Weiß Baumann Zimmermann Köhler Steiner Huber Graf"),
        (City("Leipzig", 51.34, 12.37), City("Graz", 47.07, 15.44), City("Basel", 47.56, 7.59)),
    ),
    Region(
        _latin("Astrid Søren Linnéa Håkon Freja Åsa Aino Mikko Sigríður Ólafur Ingrid Väinö Signe Lars Þóra Elias"),
        _latin("Nilsson Østergaard Virtanen Dahl Lindqvist Mäkinen Haugen Sjöberg Bakke Holm Korhonen Ås Rask"),
        (City("Göteborg", 57.71, 11.97), City("Bergen", 60.39, 5.32), City("Reykjavík", 64.15, -21.94)),
    ),
    Region(
        _latin("Zofia Jakub Łucja Tereza Vojtěch Anežka Bartosz Jelena Miloš Ana Luka Petra Ondřej Kinga Željko"),
        _latin("Nowak Wójcik Kowalczyk Dvořák Horák Marić Petrović Zając Kovač Šimek Babić Mazur Hájek"),
        (City("Kraków", 50.06, 19.94), City("Brno", 49.2, 16.61), City("Ljubljana", 46.06, 14.51)),
    ),
    Region(
        _latin("Réka Bence Zsófia Máté Eszter Ákos Boglárka Gergő Dóra Levente Csilla Zoltán"),
        _latin("Nagy Szabó Tóth Horváth Kiss Fekete Szűcs Balogh Lakatos Juhász Farkas Pintér"),
        (City("Pécs", 46.07, 18.23), City("Szeged", 46.25, 20.15)),
        family_first=True,
    ),
    Region(
        _both(
            "Оксана/Oksana Тарас/Taras Соломія/Solomiia Богдан/Bohdan Ярина/Yaryna Остап/Ostap Леся/Lesia"
            " Максим/Maksym Дарина/Daryna Юрій/Yurii Мілана/Milana Роман/Roman"
        ),
        _both(
            "Шевченко/Shevchenko Коваленко/Kovalenko Бондар/Bondar Мельник/Melnyk Ткачук/Tkachuk Лисенко/Lysenko"
            " Кравець/Kravets Савчук/Savchuk Гончар/Honchar Руденко/Rudenko"
        ),
        (City("Lviv", 49.84, 24.03), City("Odesa", 46.48, 30.73)),
    ),
    Region(
        _both(
            "Ελένη/Eleni Νίκος/Nikos Δανάη/Danai Στέλιος/Stelios Μυρτώ/Myrto Γιώργος/Giorgos Ιφιγένεια/Ifigeneia"
            " Άρης/Aris Χλόη/Chloi Πέτρος/Petros"
        ),
        _both(
            "Γεωργίου/Georgiou Οικονόμου/Oikonomou Νικολάου/Nikolaou Αλεξίου/Alexiou Δήμου/Dimou Βλάχου/Vlachou"
            " Κωνσταντίνου/Konstantinou Ιωάννου/Ioannou"
        ),
        (City("Thessaloniki", 40.64, 22.94), City("Chania", 35.51, 24.02)),
    ),
    Region(
        _latin("Elif Emre Zeynep Kerem Defne Burak İpek Ozan Ayşe Çağrı Nazlı Tolga Selin Barış Dilara Yiğit"),
        _latin("Yılmaz Şahin Demir Çelik Aydın Öztürk Koç Arslan Doğan Kılıç Erdem Güneş Toprak"),
        (City("İzmir", 38.42, 27.14), City("Ankara", 39.93, 32.86)),
    ),
    Region(
        _both(
            "ليلى/Layla عمر/Omar سلمى/Salma ياسين/Yassin نور/Nour كريم/Karim هدى/Huda طارق/Tariq رنا/Rana"
            " سامي/Sami دينا/Dina زياد/Ziad"
        ),
        _both(
            "حداد/Haddad منصور/Mansour خوري/Khoury بناني/Bennani سليمان/Suleiman نصار/Nassar عثماني/Othmani"
            " درويش/Darwish فارس/Fares"
        ),
        (City("Amman", 31.95, 35.93), City("Fès", 34.03, -5.0), City("Beirut", 33.89, 35.5)),
    ),
    Region(
        _both(
            "נועה/Noa איתי/Itay תמר/Tamar יונתן/Yonatan שירה/Shira אורי/Ori יעל/Yael דניאל/Daniel מאיה/Maya"
            " אלון/Alon"
        ),
        _both("לוי/Levi מזרחי/Mizrahi פרידמן/Friedman אזולאי/Azoulay ברק/Barak שפירא/Shapira דהן/Dahan גולן/Golan"),
        (City("Haifa", 32.79, 34.99),),
    ),
    Region(
        _latin("Shirin Dariush Parisa Kaveh Nasrin Babak Mitra Arash Yasmin Farhad Leila Cyrus Golnaz Siavash"),
        _latin("Rostami Ahmadi Karimi Moradi Tehrani Jafari Sohrabi Bahrami Farahani Shirazi Kazemi"),
        (City("Shiraz", 29.59, 52.58), City("Isfahan", 32.65, 51.67)),
    ),
    Region(
        _latin("Amara Chidi Ngozi Tunde Folake Kwame Abena Kofi Zainab Musa Adaeze Sekou Aïssatou Yaw Temitope"),
        _latin("Okafor Adeyemi Mensah Balogun Diallo Owusu Eze Traoré Bello Asante Nwosu Ndiaye Boateng"),
        (City("Lagos", 6.52, 3.38), City("Accra", 5.6, -0.19), City("Dakar", 14.72, -17.47)),
    ),
    Region(
        _latin("Wanjiru Otieno Amina Juma Selam Dawit Nyambura Baraka Hodan Abdi Makena Kato Tigist Neema Yonas"),
        _latin("Kamau Odhiambo Mwangi Tesfaye Mohamud Njoroge Okello Abebe Kiplagat Mushi Wekesa Haile"),
        (City("Nairobi", -1.29, 36.82), City("Addis Ababa", 9.03, 38.74), City("Kampala", 0.35, 32.58)),
    ),
    Region(
        _latin("Thandiwe Sipho Nomvula Lerato Themba Anika Zanele Tendai Rudo Kagiso Busisiwe Farai Mpho Johan"),
        _latin("Dlamini Nkosi Mokoena Moyo Khumalo Naidoo Ndlovu van-Wyk Sithole Molefe Chikwanha Zulu"),
        (City("Durban", -29.86, 31.03), City("Gaborone", -24.63, 25.92), City("Harare", -17.83, 31.05)),
    ),
    Region(
        _latin("Aarav Ananya Rohan Meera Kabir Ishita Vikram Lakshmi Arjun Nandini Farhan Zoya Surya Kavya Imran"),
        _latin("Sharma Iyer Patel Banerjee Reddy Khan Nair Kulkarni Singh Chatterjee Menon Hussain Perera"),
        (City("Pune", 18.52, 73.86), City("Kochi", 9.93, 76.27), City("Lahore", 31.55, 74.34)),
    ),
    Region(
        _both("প্রিয়া/Priya সৌরভ/Sourav মিতালি/Mitali অনির্বাণ/Anirban তানিয়া/Tania রফিক/Rafiq ঝুমা/Jhuma নাফিস/Nafis"),
        _both("সেন/Sen রহমান/Rahman দত্ত/Dutta চৌধুরী/Chowdhury ঘোষ/Ghosh ইসলাম/Islam মিত্র/Mitra"),
        (City("Dhaka", 23.81, 90.41), City("Kolkata", 22.57, 88.36)),
    ),
    Region(
        _both(
            "雨桐/Yutong 浩然/Haoran 思琪/Siqi 子轩/Zixuan 晓梅/Xiaomei 建国/Jianguo 欣怡/Xinyi 明远/Mingyuan"
            " 佳宁/Jianing 志强/Zhiqiang 若兰/Ruolan 天宇/Tianyu"
        ),
        _both("王/Wang 李/Li 陈/Chen 林/Lin 周/Zhou 黄/Huang 赵/Zhao 吴/Wu 徐/Xu 孙/Sun 郭/Guo 何/He"),
        (City("Chengdu", 30.57, 104.07), City("Taipei", 25.03, 121.57), City("Xiamen", 24.48, 118.09)),
        family_first=True,
        between="",
    ),
    Region(
        _both(
            "さくら/Sakura 健太/Kenta 美咲/Misaki 大輔/Daisuke 陽菜/Hina 翔/Sho 千尋/Chihiro 直樹/Naoki"
            " 結衣/Yui 亮/Ryo 葵/Aoi 拓也/Takuya"
        ),
        _both(
            "田中/Tanaka 鈴木/Suzuki 高橋/Takahashi 渡辺/Watanabe 中村/Nakamura 小林/Kobayashi 森/Mori"
            " 石川/Ishikawa 山口/Yamaguchi 藤田/Fujita 岡本/Okamoto"
        ),
        (City("Kyoto", 35.01, 135.77), City("Sapporo", 43.06, 141.35), City("Fukuoka", 33.59, 130.4)),
        family_first=True,
    ),
    Region(
        _both(
            "지우/Jiwoo 민준/Minjun 서연/Seoyeon 도윤/Doyoon 하은/Haeun 현우/Hyunwoo 수빈/Subin 준호/Junho"
            " 예린/Yerin 태민/Taemin"
        ),
        _both("김/Kim 이/Lee 박/Park 최/Choi 정/Jung 강/Kang 윤/Yoon 한/Han 오/Oh 서/Seo"),
        (City("Busan", 35.18, 129.08), City("Jeonju", 35.82, 127.15)),
        family_first=True,
        between="",
    ),
    Region(
        _latin("Linh Minh Hương Tuấn Thảo Quân Mai Đức Ngọc Khánh Trang Bảo Yến Phúc"),
        _latin("Nguyễn Trần Lê Phạm Hoàng Vũ Đặng Bùi Đỗ Hồ Ngô Dương"),
        (City("Đà Nẵng", 16.05, 108.2), City("Hà Nội", 21.03, 105.85)),
        family_first=True,
    ),
    Region(
        _latin("Putri Budi Siti Rizal Dewi Agus Maria Jomar Liwayway Andoy Ayu Wira Nurul Hafiz Malaya Eko"),
        _latin("Santoso Wijaya Reyes Bautista Rahim Lestari Dimaculangan Pratama Salleh Magsaysay Hidayat Cruz"),
        (City("Yogyakarta", -7.8, 110.37), City("Cebu", 10.32, 123.9), City("Penang", 5.41, 100.33)),
    ),
    Region(
        _latin("Mere Tāne Aroha Wiremu Talia Sione Leilani Keoni Ngaire Tama Sefina Rangi Kirra Jarrah Moana"),
        _latin("Parata Ngata Tuala Kealoha Taufa Walker Henare Fonoti Kahale Tamihana Leota Wright"),
        (City("Wellington", -41.29, 174.78), City("Suva", -18.14, 178.44), City("Hobart", -42.88, 147.33)),
    ),
)
